"""A span for each request, the parent of the spans of its storage operations."""

from http import HTTPStatus
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from modelkeep.http.context import authorization_fields, context_of
from modelkeep.telemetry.redaction import redacted

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class TracingMiddleware:
    """Makes a span of each request, in its caller's trace if it names one (`traceparent`); log lines name the trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        parent = _PROPAGATOR.extract({"traceparent": Headers(scope=scope).get("traceparent", "")})
        with (
            self._tracer.start_as_current_span(
                scope["method"], parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            ) as span,
            bound_contextvars(trace_id=format_trace_id(span.get_span_context().trace_id)),
        ):
            failed = True
            try:
                await self._app(scope, receive, send_observed)
                failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            finally:
                _describe(span, scope, status, failed=failed)


def _describe(span: Span, scope: Scope, status: int, *, failed: bool) -> None:
    """Set the attributes of a finished request: its route rather than its URL, its status and its authorization."""
    route: str | None = getattr(scope.get("route"), "path", None)
    if route:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.response.status_code", status)
    context = context_of(scope)
    found: dict[str, Any] = {"request_id": context.request_id, **authorization_fields(context, scope)}
    span.set_attributes(
        {f"modelkeep.{name}": redacted(str(value)) for name, value in found.items() if value is not None}
    )
    if failed:
        span.set_status(StatusCode.ERROR)
