"""Reads the whole table: for operators, never in a request."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import uuid4

from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.keys import ACCESS, EVENT, HEAD, OWNER, TRASH, UPLOAD
from modelkeep.storage.table import (
    MAX_WRITES,
    PARTITION,
    SORT,
    TTL,
    AbsentOrExpired,
    Delete,
    Item,
    ItemKey,
    Table,
    TableError,
)

_PAGE_SIZE: Final = 500
_MODEL_PREFIXES: Final = (HEAD, UPLOAD, TRASH, EVENT)


@dataclass(frozen=True, slots=True)
class ScannedItem:
    """The key of an item, its model if it belongs to one, and its expiry in epoch seconds if it has one."""

    key: ItemKey
    model: str | None
    expiry: int | None

    def expires_by(self, now: datetime) -> bool:
        """Whether the item has expired at a moment."""
        return self.expiry is not None and self.expiry <= now.timestamp()


class TableScan:
    """Scans a table, item by item."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def walk(self) -> AsyncGenerator[ScannedItem, None]:
        """Every item, in no promised order. A change meanwhile may be included or missed."""
        after: ItemKey | None = None
        more = True
        while more:
            page = await self._table.scan(after=after, limit=_PAGE_SIZE)
            for item in page.items:
                after = ItemKey(item[PARTITION], int(item[SORT]))
                yield ScannedItem(after, _model_of(after.partition), _expiry_of(item))
            more = page.more

    async def delete_expired(self, now: datetime, *, dry_run: bool) -> int:
        """Remove the items that have expired at `now`; return how many. DynamoDB does so by itself, SQLite does not.

        Raises `UnavailableError`, also if the table is too busy to remove all of them: a repeat continues.
        """
        expired = [item.key async for item in self.walk() if item.expires_by(now) and may_expire(item.key)]
        for start in range(0, 0 if dry_run else len(expired), MAX_WRITES):
            writes = [Delete(key, AbsentOrExpired(now)) for key in expired[start : start + MAX_WRITES]]
            try:
                await self._table.transact(writes, request_token=str(uuid4()))
            except TableError as error:
                raise UnavailableError("Not all that has expired could be removed. Sweep again.") from error
        return len(expired)

    async def models(self) -> list[str]:
        """The names of all models that have any item in the table, deleted ones included, in order."""
        return sorted({item.model async for item in self.walk() if item.model is not None})


def may_expire(key: ItemKey) -> bool:
    """Whether items of this kind may expire. Models, trust rules and the id of the bucket's owner never do."""
    return key.partition.startswith("$") and not key.partition.startswith((*_MODEL_PREFIXES, ACCESS, OWNER))


def _expiry_of(item: Item) -> int | None:
    """Its expiry; of other programs' items `ttl` may be anything, and for DynamoDB only a number is one."""
    ttl = item.get(TTL)
    return int(ttl) if isinstance(ttl, Decimal) else None


def _model_of(partition: str) -> str | None:
    for prefix in _MODEL_PREFIXES:
        if partition.startswith(prefix):
            return partition.removeprefix(prefix)
    return None if partition.startswith("$") else partition
