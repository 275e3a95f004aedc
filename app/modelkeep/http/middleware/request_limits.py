"""Refuses requests that no route accepts, before they are routed: bad paths, and bodies that are too long or too slow.

Plain ASGI, because each layer is on the path of every read.
"""

import asyncio
import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.domain.errors import MalformedPathError, RegistryError, RequestTimeoutError, RequestTooLargeError
from modelkeep.http.context import RequestContext, context_of, first_header
from modelkeep.http.error_handlers import render_error

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
MAX_RAW_PATH_BYTES: Final = 2 * 1024

BODY_TIMEOUT_SECONDS: Final = 30.0
BODY_IDLE_TIMEOUT_SECONDS: Final = 60.0

_MALFORMED_PATH: Final = re.compile(rb"%(?:[01][0-9a-f]|7f|2e%2e|2f|5c)|//|\\|[^\x21-\x7e]", re.IGNORECASE)
_ENCODED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)


class RequestLimitMiddleware:
    """Rejects malformed paths, bodies over 2 MiB, and bodies that take longer than 30 s to arrive.

    A streamed body may have any length and take any time, but not pause for a minute.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        error = context.rejection or _rejection(scope, context)
        if error is None:
            await self._app(scope, LimitedBody(context, receive).receive, send)
        else:
            await render_error(scope, error)(scope, receive, send)


class LimitedBody:
    """The body of a request, with limits of size and time."""

    def __init__(self, context: RequestContext, receive: Receive) -> None:
        self._context = context
        self._receive = receive
        self._now = asyncio.get_running_loop().time
        self._began = self._now()
        self._received_bytes = 0
        self._is_complete = False

    async def receive(self) -> Message:
        """Receive the next piece, and once the body is complete, what follows it.

        Raises the rejection of the connection, `RequestTooLargeError` and `RequestTimeoutError`.
        """
        if self._is_complete:
            return await self._receive()
        message = await self._receive_in_time()
        if self._context.rejection:
            raise self._context.rejection
        self._is_complete = not message.get("more_body", False)
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > MAX_BODY_BYTES and not self._context.row.is_streamed:
            raise RequestTooLargeError(MAX_BODY_BYTES)
        return message

    async def _receive_in_time(self) -> Message:
        is_streamed = self._context.row.is_streamed
        until = self._now() + BODY_IDLE_TIMEOUT_SECONDS if is_streamed else self._began + BODY_TIMEOUT_SECONDS
        try:
            async with asyncio.timeout_at(until):
                return await self._receive()
        except TimeoutError:
            raise RequestTimeoutError from None


def _rejection(scope: Scope, context: RequestContext) -> RegistryError | None:
    """The error for a request that no route may see, else `None`."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if len(raw) > MAX_RAW_PATH_BYTES or _is_malformed(raw, context.row.takes_encoded_slashes):
        return MalformedPathError()
    if _content_length(scope) > MAX_BODY_BYTES and not context.row.is_streamed:
        return RequestTooLargeError(MAX_BODY_BYTES)
    return None


@lru_cache(1024)
def _is_malformed(raw_path: bytes, takes_encoded_slashes: bool) -> bool:
    if takes_encoded_slashes:
        raw_path = _ENCODED_SLASH.sub(b"/", raw_path)
    return _MALFORMED_PATH.search(raw_path) is not None or not _is_utf8(unquote_to_bytes(raw_path))


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content_length(scope: Scope) -> int:
    given = first_header(scope, b"content-length")
    return int(given[:19]) if given.isascii() and given.isdigit() else 0
