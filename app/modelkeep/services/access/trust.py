"""The trust in force: issuers and rules of the operator's file, and those stored in the table."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from modelkeep.domain.access.trust import Trust
from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.trust import TrustDocuments

CACHE_TTL_SECONDS: Final = 15.0
"""How long a read of the table is used."""

_log = structlog.get_logger("modelkeep.access")


UNREADABLE: Final = (
    "The trust rules in the table cannot be read, so what they deny is not known, and no identity is accepted. Write"
    " them anew with `modelkeep access set --direct`."
)


class TrustService:
    """Joins the file's trust with the table's.

    `parse` reads the table's document, and raises `ValueError` if it cannot.
    """

    def __init__(self, documents: TrustDocuments, parse: Callable[[str], Trust], *, file_trust: Trust) -> None:
        self._documents = documents
        self._parse = parse
        self._file_trust = file_trust
        self._joined: Trust | None = file_trust
        self._text: str | None = None
        self._refreshed_at = -CACHE_TTL_SECONDS
        self._refreshing = asyncio.Lock()
        self.clashes: Sequence[str] = ()
        """A sentence for each name that is one thing in the file and another in the table, as of the last read."""

    async def current(self) -> Trust:
        """Issuers and rules, read at most 15 seconds ago.

        Raises `UnavailableError`, also if the table's document cannot be read: it may deny something.
        """
        if self._is_stale():
            async with self._refreshing:
                if self._is_stale():
                    await self._refresh()
        if self._joined is None:
            raise UnavailableError(UNREADABLE)
        return self._joined

    def clashes_with(self, stored: Trust) -> Sequence[str]:
        """A sentence for each name that is one thing in the file and another in rules that are to be stored."""
        return tuple(self._file_trust.clashes(stored))

    def _is_stale(self) -> bool:
        return time.monotonic() - self._refreshed_at >= CACHE_TTL_SECONDS

    async def _refresh(self) -> None:
        started = time.monotonic()
        document = await self._documents.find()
        text = document.text if document else None
        if text != self._text:
            self._joined, self._text = self._join(text), text
        self._refreshed_at = started

    def _join(self, text: str | None) -> Trust | None:
        """The file's trust with the table's; `None` if its document cannot be read, which is logged."""
        try:
            stored = Trust() if text is None else self._parse(text)
            joined = self._file_trust.joined(stored)
        except ValueError as error:
            _log.exception("trust_rules_unreadable", reason=str(error))
            return None
        self.clashes = tuple(self._file_trust.clashes(stored))
        for clash in self.clashes:
            _log.warning("trust_rules_clash", reason=clash)
        for warning in joined.warnings:
            _log.warning("trust_rule_warning", warning=warning)
        return joined
