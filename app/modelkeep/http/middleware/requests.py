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
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.domain.errors import MalformedPathError, RegistryError, RequestTimeoutError, RequestTooLargeError
from modelkeep.http.middleware.default_deny import require_authorization_decision
from modelkeep.http.problems import internal_error, problem
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.telemetry.authorization import authorization_fields
from modelkeep.telemetry.logging import log_request
from modelkeep.telemetry.metrics import Metrics
from modelkeep.telemetry.redaction import redacted

MAX_BODY: Final = 2 * 1024 * 1024
MAX_RAW_PATH: Final = 2 * 1024
UNBUFFERED_PREFIX: Final = "/local-store/"
"""These routes take bodies of any length, and hold them against the signed one themselves."""

BODY_TIMEOUT_SECONDS: Final = 30.0
BODY_IDLE_TIMEOUT_SECONDS: Final = 60.0

REJECTION: Final = "refusal"
"""Where in a request's state the connection notes the error that it is to be answered with."""

DEFAULT_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
"""Headers of every answer that does not say otherwise itself."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_BAD_PATH: Final = re.compile(rb"%(?:[01][0-9a-f]|7f|25|2e%2e|2f|5c)|//|\\|[^\x21-\x7e]", re.IGNORECASE)

_log = structlog.get_logger("modelkeep.requests")


class AccessLogMiddleware:
    """Gives each request an id, answers what nobody expected, and notes how it went."""

    def __init__(self, app: ASGIApp, metrics: Metrics, stopping: GracefulShutdown) -> None:
        self._app = app
        self._metrics = metrics
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(scope)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                require_authorization_decision(scope, message["status"])
                status = message["status"]
                message["headers"] = self._complete(message["headers"], request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception:
            _log.exception("unexpected", request_id=request_id)
            if status:
                raise
            await internal_error(Request(scope))(scope, receive, send_observed)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - began)

    def _complete(self, headers: Sequence[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
        said = {name for name, _ in headers}
        complete = [*headers, *(each for each in DEFAULT_HEADERS if each[0] not in said)]
        complete.append((b"x-request-id", request_id.encode()))
        if self._stopping.is_draining:
            complete.append((b"connection", b"close"))
        return complete

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        code = scope["state"].get("code", "")
        self._metrics.count(scope["method"], route, status, code, seconds)
        log_request(
            {
                "request_id": request_id,
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
        error = _refusal(scope)
        if error is None:
            await self._app(scope, LimitedBody(scope, receive).receive, send)
        else:
            await problem(Request(scope), error)(scope, receive, send)


class LimitedBody:
    """The body of a request, within its limits."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
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
        if REJECTION in self._scope["state"]:
            raise self._scope["state"][REJECTION]
        self._is_due = message.get("more_body", False)
        self._arrived += len(message.get("body", b""))
        if self._arrived > MAX_BODY and not _is_streamed(self._scope):
            raise RequestTooLargeError(MAX_BODY)
        return message

    async def _in_time(self) -> Message:
        until = (
            self._now() + BODY_IDLE_TIMEOUT_SECONDS if _is_streamed(self._scope) else self._began + BODY_TIMEOUT_SECONDS
        )
        try:
            async with asyncio.timeout_at(until):
                return await self._receive()
        except TimeoutError:
            raise RequestTimeoutError from None


def _refusal(scope: Scope) -> RegistryError | None:
    """Why no route shall see this request, if none shall."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if REJECTION in scope["state"]:
        error: RegistryError = scope["state"][REJECTION]
        return error
    if len(raw) > MAX_RAW_PATH or _is_bad(raw):
        return MalformedPathError()
    if _content_length(scope) > MAX_BODY and not _is_streamed(scope):
        return RequestTooLargeError(MAX_BODY)
    return None


@lru_cache(1024)
def _is_bad(raw_path: bytes) -> bool:
    return _BAD_PATH.search(raw_path) is not None


def _is_streamed(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(UNBUFFERED_PREFIX)


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
