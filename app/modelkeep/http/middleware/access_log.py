"""The outermost layer: opens the context of a request, completes the headers of its answer, and writes its log line.

Plain ASGI, because each layer is on the path of every read.
"""

import re
import secrets
import time
from collections.abc import Sequence
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.http.context import RequestContext, authorization_fields, context_of, first_header
from modelkeep.http.error_handlers import render_internal_error
from modelkeep.http.middleware.default_deny import require_authorization_decision
from modelkeep.http.route_table import RouteTable
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.telemetry.logging import log_request
from modelkeep.telemetry.metrics import Metrics
from modelkeep.telemetry.redaction import redacted

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")

_log = structlog.get_logger("modelkeep.requests")


class AccessLogMiddleware:
    """Gives each request an id and its row, answers unhandled exceptions with 500, and logs and counts the request."""

    def __init__(self, app: ASGIApp, table: RouteTable, metrics: Metrics, shutdown: GracefulShutdown) -> None:
        self._app = app
        self._table = table
        self._metrics = metrics
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        context = context_of(scope)
        context.request_id = _request_id(scope)
        context.row = self._table.row_for(scope["path"])
        status = 0

        async def send_completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                require_authorization_decision(context, scope, message["status"])
                status = message["status"]
                message["headers"] = self._complete(message["headers"], context)
            await send(message)

        try:
            await self._app(scope, receive, send_completed)
        except Exception:
            _log.exception("unhandled_exception", request_id=context.request_id)
            if status:
                raise
            await render_internal_error(scope)(scope, receive, send_completed)
        finally:
            self._record(scope, context, status, time.perf_counter() - began)

    def _complete(self, headers: Sequence[tuple[bytes, bytes]], context: RequestContext) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in headers}
        complete = [*headers, *(each for each in context.row.default_headers if each[0] not in given)]
        complete.append((b"x-request-id", context.request_id.encode()))
        if self._shutdown.is_draining:
            complete.append((b"connection", b"close"))
        return complete

    def _record(self, scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        code = context.problem_code
        self._metrics.count_request(scope["method"], route, status, code, seconds)
        log_request(
            {
                "request_id": context.request_id,
                "method": scope["method"],
                "path": scope["path"],
                **authorization_fields(context, scope),
                "status": status,
                "code": code,
                "duration_ms": round(seconds * 1000, 3),
            }
        )


def _request_id(scope: Scope) -> str:
    given = first_header(scope, b"x-request-id")
    return given if given and _REQUEST_ID.match(given) and redacted(given) == given else secrets.token_hex(16)
