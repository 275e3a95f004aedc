"""Reads of heads: one consistent item a model, and the catalog of all of them."""

from collections.abc import Sequence

from app.domain.models import Head
from app.repositories import cursor as cursors
from app.repositories.items import head_from_item
from app.repositories.keys import CATALOG, HEAD, head_key
from app.repositories.pages import Listed
from app.storage.table import CATALOG_INDEX, Key, Table


class Heads:
    """The heads of models."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, model: str) -> Head | None:
        """The head as it is now, also of a deleted model; `None` if the model has none."""
        item = await self._table.get(head_key(model))
        return head_from_item(item) if item else None

    async def list(self, *, prefix: str, cursor: str | None, limit: int) -> Listed[Head]:
        """The models that are not deleted, by name. A model of a moment ago may be missing: the index lags."""
        scope = f"models {prefix}"
        name = cursors.decode_name(scope, cursor, prefix=prefix)
        after = head_key(name) if name else None
        page = await self._table.query_index(CATALOG_INDEX, CATALOG, prefix=f"{HEAD}{prefix}", after=after, limit=limit)
        items = await self._table.get_many(page.items)
        heads = [head_from_item(item) for item in items if item]
        return Listed([head for head in heads if not head.deleted_at], _next(scope, page.items, more=page.more))


def _next(scope: str, keys: Sequence[Key], *, more: bool) -> str | None:
    return cursors.encode(scope, keys[-1].partition.removeprefix(HEAD)) if more and keys else None
