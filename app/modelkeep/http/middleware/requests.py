"""What surrounds every request: an id, a log line, limits of path and body, and an answer to what nobody expected.

Plain ASGI, because each layer is on the path of every read.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.domain.errors import MalformedPathError, RegistryError, RequestTimeoutError, RequestTooLargeError
from modelkeep.http.context import RequestContext, authorization_fields, context_of
from modelkeep.http.error_handlers import render_error, render_internal_error
from modelkeep.http.middleware.default_deny import require_authorization_decision
from modelkeep.http.route_table import RouteTable
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.telemetry.logging import log_request
from modelkeep.telemetry.metrics import Metrics
from modelkeep.telemetry.redaction import redacted

MAX_BODY: Final = 2 * 1024 * 1024
MAX_RAW_PATH: Final = 2 * 1024

BODY_TIMEOUT_SECONDS: Final = 30.0
BODY_IDLE_TIMEOUT_SECONDS: Final = 60.0

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_BAD_PATH: Final = re.compile(rb"%(?:[01][0-9a-f]|7f|25|2e%2e|2f|5c)|//|\\|[^\x21-\x7e]", re.IGNORECASE)

_log = structlog.get_logger("modelkeep.requests")


class AccessLogMiddleware:
    """Gives each request an id, answers what nobody expected, and notes how it went."""

    def __init__(self, app: ASGIApp, table: RouteTable, metrics: Metrics, stopping: GracefulShutdown) -> None:
        self._app = app
        self._table = table
        self._metrics = metrics
        self._stopping = stopping

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

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                require_authorization_decision(scope, message["status"])
                status = message["status"]
                message["headers"] = self._complete(message["headers"], context)
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception:
            _log.exception("unexpected", request_id=context.request_id)
            if status:
                raise
            await render_internal_error(scope)(scope, receive, send_observed)
        finally:
            self._note(scope, context, status, time.perf_counter() - began)

    def _complete(self, headers: Sequence[tuple[bytes, bytes]], context: RequestContext) -> list[tuple[bytes, bytes]]:
        said = {name for name, _ in headers}
        complete = [*headers, *(each for each in context.row.default_headers if each[0] not in said)]
        complete.append((b"x-request-id", context.request_id.encode()))
        if self._stopping.is_draining:
            complete.append((b"connection", b"close"))
        return complete

    def _note(self, scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        code = context.problem_code
        self._metrics.count(scope["method"], route, status, code, seconds)
        log_request(
            {
                "request_id": context.request_id,
                "method": scope["method"],
                "path": scope["path"],
                **authorization_fields(scope),
                "status": status,
                "code": code,
                "duration_ms": round(seconds * 1000, 3),
            }
        )


class RequestLimitMiddleware:
    """Refuses what no route accepts before it is routed: bad paths, bodies over 2 MiB, and bodies that do not come.

    A body has arrived within 30 s. Where bodies of any length go, a minute without a byte ends them instead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        error = context.rejection or _refusal(scope, context)
        if error is None:
            await self._app(scope, LimitedBody(context, receive).receive, send)
        else:
            await render_error(scope, error)(scope, receive, send)


class LimitedBody:
    """The body of a request, within its limits."""

    def __init__(self, context: RequestContext, receive: Receive) -> None:
        self._context = context
        self._receive = receive
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._arrived = 0
        self._is_due = True

    async def receive(self) -> Message:
        """Receive the next of it. Raises what the connection refused it for, and the errors of size and time."""
        if not self._is_due:
            return await self._receive()
        message = await self._in_time()
        if self._context.rejection:
            raise self._context.rejection
        self._is_due = message.get("more_body", False)
        self._arrived += len(message.get("body", b""))
        if self._arrived > MAX_BODY and not self._context.row.is_streamed:
            raise RequestTooLargeError(MAX_BODY)
        return message

    async def _in_time(self) -> Message:
        is_streamed = self._context.row.is_streamed
        until = self._now() + BODY_IDLE_TIMEOUT_SECONDS if is_streamed else self._began + BODY_TIMEOUT_SECONDS
        try:
            async with asyncio.timeout_at(until):
                return await self._receive()
        except TimeoutError:
            raise RequestTimeoutError from None


def _refusal(scope: Scope, context: RequestContext) -> RegistryError | None:
    """Why no route shall see this request, if none shall."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if len(raw) > MAX_RAW_PATH or _is_bad(raw):
        return MalformedPathError()
    if _content_length(scope) > MAX_BODY and not context.row.is_streamed:
        return RequestTooLargeError(MAX_BODY)
    return None


@lru_cache(1024)
def _is_bad(raw_path: bytes) -> bool:
    return _BAD_PATH.search(raw_path) is not None


def _request_id(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given if given and _REQUEST_ID.match(given) and redacted(given) == given else secrets.token_hex(16)


def _content_length(scope: Scope) -> int:
    given = _header(scope, b"content-length")
    return int(given[:19]) if given.isascii() and given.isdigit() else 0


def _header(scope: Scope, wanted: bytes) -> str:
    """A header's first value, or nothing; the framework's own look-up takes ten times as long."""
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value, "latin-1")
    return ""
