"""Traces for a collector that speaks OTLP: one span for each request, and below it one for each call of the backend.

The SDK is an extra. It is configured by the standard `OTEL_…` variables, and imported only if they name a collector.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from modelkeep.storage.instrumentation import OperationTiming
from modelkeep.telemetry.authorization import authorization_fields
from modelkeep.telemetry.redaction import redacted

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
FLUSH_SECONDS: Final = 3.0
"""How long a process that stops waits for its last spans to be taken."""

NOT_INSTALLED: Final = (
    f"{ENDPOINT} is set, and what sends traces is not installed. Install `modelkeep[otel]`, or unset it."
)

_GOOD: Final = frozenset({"ok", "refused"})
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans, and sends them while the app runs. Raises `ValueError` with a sentence if the extra is missing."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk import resources, trace  # noqa: PLC0415 -- an extra
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError:
            raise ValueError(NOT_INSTALLED) from None
        name = os.environ.get("OTEL_SERVICE_NAME", "modelkeep")
        resource = resources.Resource.create({resources.SERVICE_NAME: name})
        self._provider = trace.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._new_exporter = OTLPSpanExporter
        self._new_processor = BatchSpanProcessor
        self.tracer: Tracer = self._provider.get_tracer("modelkeep")

    @asynccontextmanager
    async def exported(self) -> AsyncIterator[None]:
        """Send spans to the collector until the block ends. One that does not answer delays the end by seconds."""
        exporter = self._new_exporter()
        self._provider.add_span_processor(self._new_processor(exporter))
        try:
            yield
        finally:
            patience = threading.Timer(FLUSH_SECONDS, exporter.shutdown)
            patience.start()
            await asyncio.to_thread(self._provider.shutdown)
            patience.cancel()

    def note_call(self, call: OperationTiming) -> None:
        """Make a span of a call that ends now, below the request that it was made for."""
        ended = time.time_ns()
        span = self.tracer.start_span(
            f"{call.backend}.{call.operation}",
            kind=SpanKind.CLIENT,
            attributes={"registry.result": call.result},
            start_time=ended - int(call.seconds * 1e9),
        )
        if call.result not in _GOOD:
            span.set_status(StatusCode.ERROR)
        span.end(ended)


class TracingMiddleware:
    """Makes a span of each request, in the trace that it belongs to; log lines name that trace."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noted(message: Message) -> None:
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
                await self._app(scope, receive, send_noted)
                failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            finally:
                _describe(span, scope, status, failed=failed)


def from_environment() -> Tracing | None:
    """What the standard variables ask for; `None` if they name no collector. Raises `ValueError` with a sentence."""
    return Tracing() if os.environ.get(ENDPOINT) else None


def _describe(span: Span, scope: Scope, status: int, *, failed: bool) -> None:
    """Say what has become of a request: its route and not its URL, and who was allowed what."""
    route: str | None = getattr(scope.get("route"), "path", None)
    if route:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.response.status_code", status)
    told: dict[str, Any] = {"request_id": scope["state"]["request_id"], **authorization_fields(scope)}
    span.set_attributes({f"registry.{name}": redacted(str(value)) for name, value in told.items() if value is not None})
    if failed:
        span.set_status(StatusCode.ERROR)
