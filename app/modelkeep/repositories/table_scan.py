"""Everything that the table holds: for operators, never in a request."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.keys import EVENT, HEAD, TRASH, UPLOAD
from modelkeep.storage.table import (
    MAX_WRITES,
    PARTITION,
    SORT,
    TTL,
    AbsentOrExpired,
    Delete,
    ItemKey,
    Table,
    TableError,
)

_PAGE: Final = 500
_OF_MODELS: Final = (HEAD, UPLOAD, TRASH, EVENT)


@dataclass(frozen=True, slots=True)
class ScannedItem:
    """An item that was seen: of which model, if of any, and when it expires, if it does; epoch seconds."""

    key: ItemKey
    model: str | None
    expiry: int | None

    def expires_by(self, now: datetime) -> bool:
        """Whether it counts as gone by then."""
        return self.expiry is not None and self.expiry <= now.timestamp()


class TableScan:
    """Looks at every item."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def walk(self) -> AsyncGenerator[ScannedItem, None]:
        """Every item, in no promised order. What changes meanwhile may be seen or missed."""
        after: ItemKey | None = None
        more = True
        while more:
            page = await self._table.scan(after=after, limit=_PAGE)
            for item in page.items:
                after = ItemKey(item[PARTITION], int(item[SORT]))
                yield ScannedItem(after, _model_of(after.partition), int(item[TTL]) if TTL in item else None)
            more = page.more

    async def delete_expired(self, now: datetime, *, dry_run: bool) -> int:
        """Remove what has expired by `now`, and say how much it was. DynamoDB does so by itself; not every table does.

        Raises `UnavailableError`, also for what the table is too busy to remove now: a repeat goes on.
        """
        expired = [
            sighting.key async for sighting in self.walk() if sighting.expires_by(now) and may_expire(sighting.key)
        ]
        for start in range(0, 0 if dry_run else len(expired), MAX_WRITES):
            writes = [Delete(key, AbsentOrExpired(now)) for key in expired[start : start + MAX_WRITES]]
            try:
                await self._table.transact(writes, request_token=str(uuid4()))
            except TableError as error:
                raise UnavailableError("Not all that has expired could be removed. Sweep again.") from error
        return len(expired)

    async def models(self) -> list[str]:
        """The names of all models that have anything in the table, also of deleted ones."""
        return sorted({sighting.model async for sighting in self.walk() if sighting.model is not None})


def may_expire(key: ItemKey) -> bool:
    """Whether an item is of a kind that may carry an expiry. History, heads and versions never may."""
    return key.partition.startswith("$") and not key.partition.startswith(_OF_MODELS)


def _model_of(partition: str) -> str | None:
    for prefix in _OF_MODELS:
        if partition.startswith(prefix):
            return partition.removeprefix(prefix)
    return None if partition.startswith("$") else partition
