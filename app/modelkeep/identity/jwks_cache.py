"""A cache of an issuer's keys, so that verifying a token rarely costs a request."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from modelkeep.domain.access.trust import Issuer
from modelkeep.domain.errors import IssuerUnavailableError
from modelkeep.identity.discovery import FETCH_ERRORS, fetch_keys
from modelkeep.identity.jwks import SigningKey

MAX_AGE_SECONDS: Final = 60 * 60
"""Seconds after which keys in use are refreshed in the background."""

COOLDOWN_SECONDS: Final = 60
"""Seconds without a further request after one for an unknown key id, or after a failure."""

FIRST_COOLDOWN_SECONDS: Final = 5
"""The same after a failure while there are no keys at all."""

_log = structlog.get_logger("modelkeep.identity")


class JwksCache:
    """The keys of one issuer, refreshed by at most one request at a time (single-flight).

    Keys are only ever replaced by other keys: while the issuer fails, the old ones are used (stale-if-error).
    `timer` returns monotonic seconds.
    """

    def __init__(self, issuer: Issuer, timer: Callable[[], float]) -> None:
        self._issuer = issuer
        self._timer = timer
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched_at = -math.inf
        self._next_fetch_at = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> SigningKey | None:
        """The key with this id; `None` if the issuer has none. A known key is returned without waiting.

        Raises `IssuerUnavailableError` if the key is unknown and the issuer does not answer.
        """
        now = self._timer()
        if key_id in self._keys:
            if now - self._fetched_at >= MAX_AGE_SECONDS:
                self._start_fetch(now)
            return self._keys[key_id]
        if (fetching := self._start_fetch(now)) is not None:
            if self._keys:
                self._next_fetch_at = now + COOLDOWN_SECONDS
            await asyncio.shield(fetching)
        if key_id not in self._keys and self._failed:
            raise IssuerUnavailableError(self._issuer.name)
        return self._keys.get(key_id)

    def _start_fetch(self, now: float) -> asyncio.Task[None] | None:
        """The request in progress, or a new one, unless there was one too recently."""
        if self._fetching is None and now >= self._next_fetch_at:
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        started_at = self._timer()
        try:
            self._keys = await fetch_keys(self._issuer)
        except FETCH_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            _log.warning("jwks_refresh_failed", issuer=self._issuer.name, reason=reason)
            self._failed = True
            self._next_fetch_at = self._timer() + (COOLDOWN_SECONDS if self._keys else FIRST_COOLDOWN_SECONDS)
        else:
            self._failed = False
            self._fetched_at = started_at
        finally:
            self._fetching = None
