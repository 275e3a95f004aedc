"""The keys of an issuer, kept from one token to the next, so that a token seldom costs a request to anybody."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from modelkeep.domain.access.trust import Issuer
from modelkeep.domain.errors import IssuerUnavailableError
from modelkeep.identity.discovery import FAILURES, fetch_keys
from modelkeep.identity.jwks import SigningKey

MAX_AGE: Final = 60 * 60
"""Seconds after which keys are asked for again, in the course of their use."""

COOLDOWN: Final = 60
"""Seconds in which an issuer is not asked again because of a key that it does not have, or after it failed."""

FIRST_COOLDOWN: Final = 5
"""The same, while there are no keys at all."""

_log = structlog.get_logger("modelkeep.identity")


class JwksCache:
    """The keys of one issuer, which is never asked twice at once.

    Only other keys ever take the place of keys: while the issuer fails, the old ones serve. `timer` gives seconds that
    never go back.
    """

    def __init__(self, issuer: Issuer, timer: Callable[[], float]) -> None:
        self._issuer = issuer
        self._timer = timer
        self._keys: Mapping[str, SigningKey] = {}
        self._asked_at = -math.inf
        self._quiet_until = -math.inf
        self._failed = False
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> SigningKey | None:
        """The key with this id; `None` if the issuer has none such. A key that is known is had without waiting.

        Raises `IssuerUnavailableError` if the issuer cannot be asked.
        """
        now = self._timer()
        if key_id in self._keys:
            if now - self._asked_at >= MAX_AGE:
                self._ask(now)
            return self._keys[key_id]
        if (asking := self._ask(now)) is not None:
            if self._keys:
                self._quiet_until = now + COOLDOWN
            await asyncio.shield(asking)
        if key_id not in self._keys and self._failed:
            raise IssuerUnavailableError(self._issuer.name)
        return self._keys.get(key_id)

    def _ask(self, now: float) -> asyncio.Task[None] | None:
        """The one question under way, or else a new one, unless it is too early."""
        if self._asking is None and now >= self._quiet_until:
            self._asking = asyncio.create_task(self._refresh())
        return self._asking

    async def _refresh(self) -> None:
        began = self._timer()
        try:
            self._keys = await fetch_keys(self._issuer)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"
            _log.warning("jwks_refresh_failed", issuer=self._issuer.name, reason=reason)
            self._failed = True
            self._quiet_until = self._timer() + (COOLDOWN if self._keys else FIRST_COOLDOWN)
        else:
            self._failed = False
            self._asked_at = began
        finally:
            self._asking = None
