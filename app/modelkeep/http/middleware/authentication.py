"""Authenticates every request outside the public paths; plain ASGI."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from modelkeep.domain.access.principals import ANONYMOUS, Principal
from modelkeep.domain.errors import (
    CredentialsRequiredError,
    NoTrustRuleError,
    RegistryError,
    UnauthenticatedError,
    UnavailableError,
)
from modelkeep.http.context import RequestContext, context_of, first_header
from modelkeep.http.credentials import read_token
from modelkeep.http.error_handlers import render_error
from modelkeep.http.middleware.browser_guard import BrowserGuard
from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.services.access.authenticator import Authenticator, is_registry_token

LOGIN_TIMEOUT_SECONDS: Final = 2.0
"""Timeout of the table lookup when a cached principal can be used instead."""

_log = structlog.get_logger("modelkeep.access")


class AuthenticationMiddleware:
    """Sets the principal of every request outside the public paths; 401 without valid credentials.

    With a `browser_guard`, nobody is asked: what it lets pass is unrestricted without a registry token; other
    credentials are ignored, since a job may send an identity that is meant for another service. A request with a
    registry token is held to it.

    `on_attempt(result)` is called for each check of credentials that were not cached, and for missing ones; `result` is
    "success" or the code of the problem.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        browser_guard: BrowserGuard | None,
        limits: RateLimits,
        trusts_proxies: bool,
        on_attempt: Callable[[str], None],
    ) -> None:
        self._app = app
        self._browser_guard = browser_guard
        self._limits = limits
        self._may_ignore_proxy = not trusts_proxies
        self._on_attempt = on_attempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not (context := context_of(scope)).row.is_public:
            try:
                context.principal = await self._principal_of(scope, context)
            except RegistryError as error:
                await render_error(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _principal_of(self, scope: Scope, context: RequestContext) -> Principal:
        if self._browser_guard:
            self._browser_guard.check(scope)
        token = read_token(context.row.credential_sources, scope)
        if self._browser_guard and not is_registry_token(token or ""):
            return ANONYMOUS
        if token is None:
            self._on_attempt(CredentialsRequiredError.code())
            raise CredentialsRequiredError
        authenticator = context.services.authenticator
        principal = authenticator.cached(token)
        if principal is None and context.row.may_serve_stale and scope["method"] in {"GET", "HEAD"}:
            principal = await self._authenticate_or_stale(scope, authenticator, token)
        elif principal is None:
            principal = await self._authenticate(scope, authenticator, token)
        self._limits.count_request(principal.name)
        return principal

    async def _authenticate_or_stale(self, scope: Scope, authenticator: Authenticator, token: str) -> Principal:
        """Authenticate, or fall back to the last known principal of the token while the table cannot be read."""
        last_known = authenticator.cached_stale(token)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_SECONDS if last_known else None):
                return await self._authenticate(scope, authenticator, token)
        except (UnavailableError, TimeoutError):
            if last_known is None:
                raise
            return last_known

    async def _authenticate(self, scope: Scope, authenticator: Authenticator, token: str) -> Principal:
        """Authenticate. The limit on failed logins slows failures alone: a valid token passes it at any address."""
        self._warn_of_ignored_proxy(scope)
        try:
            principal = await authenticator.authenticate(token)
        except RegistryError as error:
            self._on_attempt(error.code())
            if isinstance(error, UnauthenticatedError | NoTrustRuleError):
                self._limits.count_failure(scope["client"][0] if scope.get("client") else "")
            raise
        self._on_attempt("success")
        return principal

    def _warn_of_ignored_proxy(self, scope: Scope) -> None:
        """Warn once if a proxy names its clients and none is trusted: failed logins of all are counted together."""
        if self._may_ignore_proxy and first_header(scope, b"x-forwarded-for"):
            self._may_ignore_proxy = False
            _log.warning(
                "forwarded_for_ignored",
                detail="Requests have X-Forwarded-For, and MODELKEEP_TRUSTED_PROXIES is not set: failed logins are"
                " counted by the address of the proxy. Set it to that address.",
            )
