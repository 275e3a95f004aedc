"""Lets nobody in without knowing who it is: plain ASGI around every route that is not open to all."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from modelkeep.domain.access.principals import ANONYMOUS, Principal
from modelkeep.domain.errors import (
    CredentialsRequiredError,
    NoTrustRuleError,
    RegistryError,
    UnauthenticatedError,
    UnavailableError,
)
from modelkeep.http.context import RequestContext, context_of
from modelkeep.http.credentials import read_token
from modelkeep.http.error_handlers import render_error
from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.services.access.authenticator import Authenticator, is_registry_token

LOGIN_TIMEOUT_SECONDS: Final = 2.0
"""How long a table that does not answer is waited for by who was known when it did."""


class AuthenticationMiddleware:
    """Authenticates every request outside the public paths, and keeps the principal in its context; otherwise 401.

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
        if scope["type"] == "http" and not (context := context_of(scope)).row.is_public:
            try:
                context.principal = await self._principal(scope, context)
            except RegistryError as error:
                await render_error(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope, context: RequestContext) -> Principal:
        token = read_token(context.row.credential_sources, scope)
        if self._asks_nobody and not is_registry_token(token or ""):
            return ANONYMOUS
        if token is None:
            self._note(CredentialsRequiredError.code())
            raise CredentialsRequiredError
        authenticator = context.services.authenticator
        principal = authenticator.cached(token)
        if principal is None and context.row.may_serve_stale and scope["method"] == "GET":
            principal = await self._authenticate_or_stale(scope, authenticator, token)
        elif principal is None:
            principal = await self._authenticate(scope, authenticator, token)
        await self._limits.count_request(principal.name)
        return principal

    async def _authenticate_or_stale(self, scope: Scope, authenticator: Authenticator, token: str) -> Principal:
        """While the table cannot be read, who was known lately is still who he was."""
        known = authenticator.cached_stale(token)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS if known else None):
                return await self._authenticate(scope, authenticator, token)
        except (UnavailableError, TimeoutError):
            if known is None:
                raise
            return known

    async def _authenticate(self, scope: Scope, authenticator: Authenticator, token: str) -> Principal:
        address = scope["client"][0] if scope.get("client") else ""
        await self._limits.check_failures(address)
        try:
            principal = await authenticator.authenticate(token)
        except RegistryError as error:
            if isinstance(error, UnauthenticatedError | NoTrustRuleError):
                await self._limits.count_failure(address)
            self._note(error.code())
            raise
        self._note("success")
        return principal
