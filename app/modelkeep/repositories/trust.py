"""The trust document in the table: the text that an operator wrote, in one item, `$access`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelkeep.domain.errors import ContentionError
from modelkeep.repositories import conditional_put
from modelkeep.repositories.keys import access_key, from_text, keyed, to_text, unknown
from modelkeep.storage.table import PARTITION, SORT, Absent, Equals, Table

_WHAT: Final = "trust rules"
_DOCUMENT: Final = frozenset({PARTITION, SORT, "document", "revision", "changed_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDocument:
    """Issuers and rules as JSON. `revision` grows with each write; `extra` is what a newer release wrote."""

    text: str
    revision: int
    changed_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict)


class TrustDocuments:
    """Read and replace the document."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self) -> TrustDocument | None:
        """The document as it is now; `None` if none was written yet. Raises `UnavailableError`."""
        item = await self._table.get(access_key())
        if item is None:
            return None
        return TrustDocument(
            text=item["document"],
            revision=int(item["revision"]),
            changed_at=from_text(item["changed_at"]),
            extra=unknown(item, _DOCUMENT),
        )

    async def replace(self, text: str, *, revision: int, now: datetime) -> None:
        """Write the document that follows the given revision (0: none yet), with what that has and is not known here.

        Raises `ContentionError` if that revision is no longer the latest, `UnavailableError`, and `OutcomeUnknownError`
        if the document may or may not have been written.
        """
        before = await self.find() if revision else None
        item = {
            **(before.extra if before else {}),
            **keyed(access_key()),
            "document": text,
            "revision": revision + 1,
            "changed_at": to_text(now),
        }
        condition = Equals({"revision": revision}) if revision else Absent()
        if not await conditional_put.put_idempotently(self._table, item, condition, what=_WHAT):
            raise ContentionError(_WHAT)
