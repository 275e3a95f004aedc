"""Everything that the table holds: for operators, never in a request."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from app.repositories.keys import EVENT, HEAD, TRASH, UPLOAD
from app.storage.table import PARTITION, SORT, TTL, Key, Table

_PAGE: Final = 500
_OF_MODELS: Final = (HEAD, UPLOAD, TRASH, EVENT)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An item that was seen: of which model, if of any, and whether it would expire."""

    key: Key
    model: str | None
    expires: bool


class Survey:
    """Looks at every item."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def walk(self) -> AsyncGenerator[Sighting, None]:
        """Every item, in no promised order. What changes meanwhile may be seen or missed."""
        after: Key | None = None
        more = True
        while more:
            page = await self._table.scan(after=after, limit=_PAGE)
            for item in page.items:
                after = Key(item[PARTITION], int(item[SORT]))
                yield Sighting(after, _model_of(after.partition), TTL in item)
            more = page.more

    async def models(self) -> list[str]:
        """The names of all models that have anything in the table, also of deleted ones."""
        return sorted({sighting.model async for sighting in self.walk() if sighting.model is not None})


def may_expire(key: Key) -> bool:
    """Whether an item is of a kind that may carry an expiry. History, heads and versions never may."""
    return key.partition.startswith("$") and not key.partition.startswith(_OF_MODELS)


def _model_of(partition: str) -> str | None:
    for prefix in _OF_MODELS:
        if partition.startswith(prefix):
            return partition.removeprefix(prefix)
    return None if partition.startswith("$") else partition
