"""What is trusted now: the issuers and rules of the operator's file, and those that are kept in the table."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from modelkeep.domain.access.trust import Trust
from modelkeep.repositories.trust import TrustDocuments

FRESH_SECONDS: Final = 15.0
"""How long a look at the table holds."""

_log = structlog.get_logger("modelkeep.access")


class TrustService:
    """Joins both. What the table calls by a name that the file has, is left out: the file is the stronger."""

    def __init__(self, documents: TrustDocuments, parse: Callable[[str], Trust], *, own: Trust) -> None:
        self._documents = documents
        self._parse = parse
        self._own = own
        self._joined = own
        self._text: str | None = None
        self._looked_at = -FRESH_SECONDS
        self._looking = asyncio.Lock()

    async def current(self) -> Trust:
        """Issuers and rules as they were at most 15 seconds ago. Raises `UnavailableError`."""
        if self._is_stale():
            async with self._looking:
                if self._is_stale():
                    await self._look()
        return self._joined

    def _is_stale(self) -> bool:
        return time.monotonic() - self._looked_at >= FRESH_SECONDS

    async def _look(self) -> None:
        began = time.monotonic()
        document = await self._documents.find()
        text = document.text if document else None
        if text != self._text:
            self._joined, self._text = self._join(text), text
        self._looked_at = began

    def _join(self, text: str | None) -> Trust:
        try:
            kept = Trust() if text is None else self._parse(text)
        except ValueError as error:
            _log.exception("trust_rules_unreadable", reason=str(error))
            kept = Trust()
        joined = self._own.joined(kept)
        for warning in joined.warnings:
            _log.warning("trust_rule_warning", warning=warning)
        for rule in kept.rules:
            if rule not in joined.rules:
                _log.warning("trust_rule_shadowed", rule=rule.id, reason="the file has a rule or issuer of that name")
        return joined
