"""Who a request comes from, by what it shows."""

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
"""How long a credential that was found good is taken without another look; with the table's own, below 30 seconds."""

CACHE_SIZE: Final = 10_000
"""Credentials in memory, at most."""

NOTE_USE_EVERY: Final = timedelta(hours=1)
"""How old the last use of a token must be to be written again: a busy token costs the table a write an hour."""

NOTE_SECONDS: Final = 1.0
"""How long its bearer waits for that at most: a table that takes no writes must not keep anybody from reading."""

_UNKNOWN: Final = "This is no token of this registry, or no longer. Check that it is whole, or get a new one."

_log = structlog.get_logger("modelkeep.access")


class CachedPrincipal(NamedTuple):
    """A principal, and until when it may be taken from memory; times of the monotonic clock, in seconds."""

    seen_at: float
    ends_at: float
    principal: Principal


class Authenticator:
    """Recognises registry tokens and the tokens of trusted issuers. Forgets within 30 seconds what was revoked."""

    def __init__(self, tokens: Tokens, trust: TrustService, verifier: Verifier, *, stale_for: float) -> None:
        self._tokens = tokens
        self._trust = trust
        self._verifier = verifier
        self._stale_for = stale_for
        self._known: LRUCache[bytes, CachedPrincipal] = LRUCache(CACHE_SIZE)

    def cached(self, text: str) -> Principal | None:
        """Whom the token proved a moment ago; `None` if that has to be looked at."""
        return self._recall(text, CACHE_TTL_SECONDS)

    def cached_stale(self, text: str) -> Principal | None:
        """Whom the token proved when the table could be read: good enough for what is answered from memory."""
        return self._recall(text, self._stale_for)

    async def authenticate(self, text: str) -> Principal:
        """Whom a token proves.

        Raises `CredentialsRequiredError` if it is empty, `InvalidTokenError`, `TokenExpiredError`,
        `NoTrustRuleError`, `IssuerUnavailableError`, `UnavailableError`.
        """
        began = time.monotonic()
        if not text:
            raise CredentialsRequiredError
        credential = parse_secret(text)
        try:
            principal = await (self._by_token(credential) if credential else self._by_issuer(text))
        except (UnauthenticatedError, NoTrustRuleError):
            self._known.pop(_digest(text), None)
            raise
        self._remember(text, principal, began)
        return principal

    async def _by_token(self, credential: ApiTokenSecret) -> Principal:
        token = await self._tokens.find(credential.id)
        if token is None or not token.admits(credential) or token.revoked_at:
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
        """Note when a lasting token was used, now and then. That it cannot be noted is no reason to refuse it."""
        if token.rules or (token.last_used_at and now - token.last_used_at < NOTE_USE_EVERY):
            return
        try:
            async with asyncio.timeout(NOTE_SECONDS):
                await self._tokens.replace(replace(token, last_used_at=now))
        except (TemporaryError, TimeoutError) as error:
            _log.warning("token_last_used_update_failed", token=token.id, reason=type(error).__name__)

    def _recall(self, text: str, seconds: float) -> Principal | None:
        known = self._known.get(_digest(text))
        return known.principal if known and time.monotonic() < min(known.seen_at + seconds, known.ends_at) else None

    def _remember(self, text: str, principal: Principal, began: float) -> None:
        left = (principal.expires_at - datetime.now(UTC)).total_seconds() if principal.expires_at else math.inf
        self._known[_digest(text)] = CachedPrincipal(began, time.monotonic() + left, principal)


def is_registry_token(text: str) -> bool:
    """Whether a token is one of this registry, or is meant to be one."""
    return text.startswith(PREFIX)


def _digest(text: str) -> bytes:
    """What is looked up: so the time that takes says nothing of the secret, and no secret is kept."""
    return hashlib.sha256(text.encode()).digest()
