"""Refuses requests that no route accepts, before they are routed: bad paths, and bodies that are too long or too slow.

Plain ASGI, because each layer is on the path of every read.
"""

import asyncio
import re
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.domain.errors import MalformedPathError, RegistryError, RequestTimeoutError, RequestTooLargeError
from modelkeep.http.context import RequestContext, context_of, first_header
from modelkeep.http.error_handlers import render_error

MAX_BODY: Final = 2 * 1024 * 1024
MAX_RAW_PATH: Final = 2 * 1024

BODY_TIMEOUT_SECONDS: Final = 30.0
BODY_IDLE_TIMEOUT_SECONDS: Final = 60.0

_BAD_PATH: Final = re.compile(rb"%(?:[01][0-9a-f]|7f|25|2e%2e|2f|5c)|//|\\|[^\x21-\x7e]", re.IGNORECASE)


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


def _content_length(scope: Scope) -> int:
    given = first_header(scope, b"content-length")
    return int(given[:19]) if given.isascii() and given.isdigit() else 0
