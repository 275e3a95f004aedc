"""The trust in force: issuers and rules of the operator's file, and those stored in the table."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from modelkeep.domain.access.trust import Trust
from modelkeep.repositories.trust import TrustDocuments

CACHE_TTL_SECONDS: Final = 15.0
"""How long a read of the table is used."""

_log = structlog.get_logger("modelkeep.access")


class TrustService:
    """Joins the file's trust with the table's; where names collide, the file wins.

    `parse` reads the table's document, and raises `ValueError` if it cannot.
    """

    def __init__(self, documents: TrustDocuments, parse: Callable[[str], Trust], *, file_trust: Trust) -> None:
        self._documents = documents
        self._parse = parse
        self._file_trust = file_trust
        self._joined = file_trust
        self._text: str | None = None
        self._refreshed_at = -CACHE_TTL_SECONDS
        self._refreshing = asyncio.Lock()

    async def current(self) -> Trust:
        """Issuers and rules, read at most 15 seconds ago. Raises `UnavailableError`."""
        if self._is_stale():
            async with self._refreshing:
                if self._is_stale():
                    await self._refresh()
        return self._joined

    def _is_stale(self) -> bool:
        return time.monotonic() - self._refreshed_at >= CACHE_TTL_SECONDS

    async def _refresh(self) -> None:
        started = time.monotonic()
        document = await self._documents.find()
        text = document.text if document else None
        if text != self._text:
            self._joined, self._text = self._join(text), text
        self._refreshed_at = started

    def _join(self, text: str | None) -> Trust:
        """The file's trust with the table's; without it if its document cannot be read, which is logged."""
        try:
            stored = Trust() if text is None else self._parse(text)
        except ValueError as error:
            _log.exception("trust_rules_unreadable", reason=str(error))
            stored = Trust()
        joined = self._file_trust.joined(stored)
        for warning in joined.warnings:
            _log.warning("trust_rule_warning", warning=warning)
        for rule in stored.rules:
            if rule not in joined.rules:
                _log.warning("trust_rule_shadowed", rule=rule.id, reason="the file has a rule or issuer of that name")
        return joined
