"""What surrounds every request: an id, a log line, limits of path and body, and an answer to what nobody expected.

Plain ASGI, because each layer is on the path of every read.
"""

import re
import time
from collections.abc import MutableMapping
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import MalformedPathError, RequestTooLargeError
from app.metrics import Metrics
from app.problems import problem, unexpected

MAX_BODY: Final = 2 * 1024 * 1024
MAX_RAW_PATH: Final = 2 * 1024
STREAMED: Final = "/local-store/"
"""These routes take bodies of any length, and hold them against the signed one themselves."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_BAD_PATH: Final = re.compile(rb"%(?:00|25|2e%2e|2f|5c)|//|\\|[^\x21-\x7e]", re.IGNORECASE)

_log = structlog.get_logger("app.requests")


class Observed:
    """Gives each request an id, answers what nobody expected, and notes how it went."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

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
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception:
            _log.exception("unexpected", request_id=request_id)
            if status:
                raise
            await unexpected(Request(scope))(scope, receive, send_observed)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - began)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        self._metrics.count(scope["method"], route, status, seconds)
        _log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            duration_ms=round(seconds * 1000, 3),
        )


class Guarded:
    """Refuses paths that no route accepts before they are routed, and bodies over 2 MiB."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if len(raw) > MAX_RAW_PATH or _BAD_PATH.search(raw):
            await problem(Request(scope), MalformedPathError())(scope, receive, send)
        elif scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced_length(scope) > MAX_BODY:
            await problem(Request(scope), RequestTooLargeError(MAX_BODY))(scope, receive, send)
            return
        arrived = 0

        async def receive_limited() -> MutableMapping[str, Any]:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > MAX_BODY:
                raise RequestTooLargeError(MAX_BODY)
            return message

        await self._app(scope, receive_limited, send)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.match(given) else uuid4().hex


def _announced_length(scope: Scope) -> int:
    given = Headers(scope=scope).get("content-length", "")
    return int(given[:19]) if given.isascii() and given.isdigit() else 0
