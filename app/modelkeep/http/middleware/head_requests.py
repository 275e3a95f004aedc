"""Answers HEAD as GET without a body (RFC 9110, section 9.3.2), so that no route has to."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.http.context import context_of

_FOUND_BY_ROUTING: Final = ("route", "path_params")


class HeadMiddleware:
    """Routes HEAD as GET, unless the routes of its row answer it themselves; the body of no answer to it is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what routing finds out is in `scope` afterwards, whose method stays as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        routed = scope if context_of(scope).row.answers_head else {**scope, "method": "GET"}
        try:
            await self._app(routed, receive, send_without_body)
        finally:
            scope.update({name: routed[name] for name in _FOUND_BY_ROUTING if name in routed})
