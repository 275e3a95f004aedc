"""Authenticates requests by the token that they present."""

import asyncio
import hashlib
import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from cachetools import LRUCache

from modelkeep.domain.access.principals import Principal
from modelkeep.domain.access.tokens import PREFIX, ApiTokenSecret, Token, parse_secret
from modelkeep.domain.access.trust import identity
from modelkeep.domain.errors import (
    CredentialsRequiredError,
    InvalidTokenError,
    NoTrustRuleError,
    TemporaryError,
    TokenExpiredError,
    UnauthenticatedError,
)
from modelkeep.identity.verifier import Verifier
from modelkeep.repositories.keys import to_text
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access.trust import TrustService

CACHE_TTL_SECONDS: Final = 15.0
"""How long a valid credential is accepted without a read; with that of trust rules, below 30 seconds."""

CACHE_SIZE: Final = 10_000
"""Cached credentials, at most, and as many ids of tokens that are refused."""

LAST_USED_INTERVAL: Final = timedelta(hours=1)
"""Least time between two updates of a token's last use: a busy token costs one write an hour."""

LAST_USED_TIMEOUT_SECONDS: Final = 1.0
"""Timeout of that update: a table that takes no writes must not block readers."""

_UNKNOWN: Final = "This is no token of this registry, or no longer. Check that it is whole, or get a new one."

_log = structlog.get_logger("modelkeep.access")


class CachedPrincipal(NamedTuple):
    """A principal, when it was authenticated, and when its credential ends; monotonic seconds."""

    authenticated_at: float
    ends_at: float
    principal: Principal


class Authenticator:
    """Authenticates registry tokens and tokens of trusted issuers. A revoked one is refused within 30 seconds."""

    def __init__(self, tokens: Tokens, trust: TrustService, verifier: Verifier, *, stale_ttl: float) -> None:
        self._tokens = tokens
        self._trust = trust
        self._verifier = verifier
        self._stale_ttl = stale_ttl
        self._cache: LRUCache[bytes, CachedPrincipal] = LRUCache(CACHE_SIZE)
        self._refused_at: LRUCache[str, float] = LRUCache(CACHE_SIZE)

    def cached(self, text: str) -> Principal | None:
        """The principal that the token proved a moment ago; `None` if it must be authenticated."""
        return self._cached(text, CACHE_TTL_SECONDS)

    def cached_stale(self, text: str) -> Principal | None:
        """The principal that the token proved lately, for stale answers while the table cannot be read."""
        return self._cached(text, self._stale_ttl)

    async def authenticate(self, text: str) -> Principal:
        """The principal that a token proves.

        Raises `CredentialsRequiredError` if it is empty, `InvalidTokenError`, `TokenExpiredError`,
        `NoTrustRuleError`, `IssuerUnavailableError`, `UnavailableError`.
        """
        started = time.monotonic()
        if not text:
            raise CredentialsRequiredError
        credential = parse_secret(text)
        try:
            principal = await (self._by_token(credential) if credential else self._by_issuer(text))
        except (UnauthenticatedError, NoTrustRuleError):
            self._cache.pop(_digest(text), None)
            raise
        self._store(text, principal, started)
        return principal

    async def _by_token(self, credential: ApiTokenSecret) -> Principal:
        token = await self._find(credential.id)
        if token is None or not token.admits(credential):
            raise InvalidTokenError(_UNKNOWN)
        now = datetime.now(UTC)
        if token.expires_at <= now:
            raise TokenExpiredError(to_text(token.expires_at))
        grants = token.grants
        if token.rules:
            grants = (await self._trust.current()).grants_of(token.rules)
            if not grants:
                raise NoTrustRuleError(token.principal)
        await self._touch_last_used(token, now)
        return Principal(name=token.principal, grants=grants, expires_at=token.expires_at)

    async def _find(self, token_id: str) -> Token | None:
        """The token, unless it is revoked. That there is none is remembered for a while, so repeats cost no read."""
        now = time.monotonic()
        if now < self._refused_at.get(token_id, -math.inf) + CACHE_TTL_SECONDS:
            return None
        token = await self._tokens.find(token_id)
        if token is None or token.revoked_at:
            self._refused_at[token_id] = now
            return None
        return token

    async def _by_issuer(self, text: str) -> Principal:
        if text.startswith(PREFIX):
            raise InvalidTokenError(_UNKNOWN)
        trust = await self._trust.current()
        issuer, claims = await self._verifier.verify(text, trust.issuer)
        rules = trust.rules_for(issuer, claims)
        name = identity(issuer, claims)
        if not rules:
            raise NoTrustRuleError(name)
        return Principal(
            name=name,
            grants=tuple(grant for rule in rules for grant in rule.grants),
            rules=tuple(rule.id for rule in rules),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    async def _touch_last_used(self, token: Token, now: datetime) -> None:
        """Update when a token was last used, if that is long ago; a failure is logged, and the token accepted.

        Tokens from an exchange are short-lived and not updated.
        """
        if token.rules or (token.last_used_at and now - token.last_used_at < LAST_USED_INTERVAL):
            return
        try:
            async with asyncio.timeout(LAST_USED_TIMEOUT_SECONDS):
                await self._tokens.replace(replace(token, last_used_at=now))
        except (TemporaryError, TimeoutError) as error:
            _log.warning("token_last_used_update_failed", token=token.id, reason=type(error).__name__)

    def _cached(self, text: str, ttl: float) -> Principal | None:
        entry = self._cache.get(_digest(text))
        is_fresh = entry and time.monotonic() < min(entry.authenticated_at + ttl, entry.ends_at)
        return entry.principal if entry and is_fresh else None

    def _store(self, text: str, principal: Principal, started: float) -> None:
        life = (principal.expires_at - datetime.now(UTC)).total_seconds() if principal.expires_at else math.inf
        self._cache[_digest(text)] = CachedPrincipal(started, time.monotonic() + life, principal)


def is_registry_token(text: str) -> bool:
    """Whether a token is a registry token, valid or not, by its prefix."""
    return text.startswith(PREFIX)


def _digest(text: str) -> bytes:
    """The cache key: no secret is stored, and the time of a look-up reveals nothing of it."""
    return hashlib.sha256(text.encode()).digest()
