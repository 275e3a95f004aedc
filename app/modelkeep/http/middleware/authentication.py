"""Lets nobody in without knowing who it is: plain ASGI around every route that is not open to all."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from modelkeep.domain.access.principals import ANONYMOUS, Principal
from modelkeep.domain.errors import (
    CredentialsRequiredError,
    NoTrustRuleError,
    RegistryError,
    UnauthenticatedError,
    UnavailableError,
)
from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.http.problems import problem
from modelkeep.services.access.authenticator import Authenticator, shows_token

PUBLIC_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
PUBLIC_PREFIXES: Final = ("/local-store/", "/docs/")
"""The local store's routes are bound to their signed URLs; documentation holds nothing of anybody's."""

LOGIN_TIMEOUT_SECONDS: Final = 2.0
"""How long a table that does not answer is waited for by who was known when it did."""

_DOWNLOAD: Final = re.compile(r"/v1/models/[^/]+/versions/[^/]+/(?:download|artifacts/.+)")


def is_public(path: str) -> bool:
    """Whether anybody may ask for this path."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def may_serve_stale(scope: Scope) -> bool:
    """Whether this is a question that has an answer even while the table cannot be read."""
    return scope["method"] == "GET" and _DOWNLOAD.fullmatch(scope["path"]) is not None


class AuthenticationMiddleware:
    """Says in `request.state.principal` who asks.

    Where `allow_anonymous` holds, whoever shows no registry token may do everything, whatever else he sends: a job may
    have an identity that is meant for others. Who shows one is held to it.
    """

    def __init__(self, app: ASGIApp, *, allow_anonymous: bool, limits: RateLimits, note: Callable[[str], None]) -> None:
        self._app = app
        self._asks_nobody = allow_anonymous
        self._limits = limits
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not is_public(scope["path"]):
            try:
                scope["state"]["principal"] = await self._principal(scope)
            except RegistryError as error:
                await problem(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        authorization = _authorization(scope)
        if self._asks_nobody and not shows_token(authorization or ""):
            return ANONYMOUS
        if authorization is None:
            self._note(CredentialsRequiredError.code())
            raise CredentialsRequiredError
        authenticator: Authenticator = scope["state"]["authenticator"]
        principal = authenticator.cached(authorization)
        if principal is None and may_serve_stale(scope):
            principal = await self._authenticate_or_stale(scope, authenticator, authorization)
        elif principal is None:
            principal = await self._authenticate(scope, authenticator, authorization)
        await self._limits.count_request(principal.name)
        return principal

    async def _authenticate_or_stale(self, scope: Scope, authenticator: Authenticator, authorization: str) -> Principal:
        """While the table cannot be read, who was known lately is still who he was."""
        known = authenticator.cached_stale(authorization)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS if known else None):
                return await self._authenticate(scope, authenticator, authorization)
        except (UnavailableError, TimeoutError):
            if known is None:
                raise
            return known

    async def _authenticate(self, scope: Scope, authenticator: Authenticator, authorization: str) -> Principal:
        address = scope["client"][0] if scope.get("client") else ""
        await self._limits.check_failures(address)
        try:
            principal = await authenticator.authenticate(authorization)
        except RegistryError as error:
            if isinstance(error, UnauthenticatedError | NoTrustRuleError):
                await self._limits.count_failure(address)
            self._note(error.code())
            raise
        self._note("success")
        return principal


def _authorization(scope: Scope) -> str | None:
    """Sent twice, it is one that nobody accepts: so nobody before us can have believed the other of the two."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    return b", ".join(found).decode("latin-1") if found else None
