"""Reads of heads: one consistent item a model, and the catalog of all of them."""

from collections.abc import Callable, Sequence
from typing import Final

from modelkeep.domain.models import Head, Version
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.items import head_from_item
from modelkeep.repositories.keys import CATALOG, HEAD, head_key, version_key
from modelkeep.repositories.pages import Page
from modelkeep.repositories.version_items import version_from_item
from modelkeep.storage.table import CATALOG_INDEX, ItemKey, Table

MIN_PAGE: Final = 100
"""Names that are read at a time, at least: however short the page, most of them may be such as are not shown."""


class Heads:
    """The heads of models."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, model: str) -> Head | None:
        """The head as it is now, also of a deleted model; `None` if the model has none."""
        item = await self._table.get(head_key(model))
        return head_from_item(item) if item else None

    async def find_with(self, model: str, number: int) -> tuple[Head | None, Version | None]:
        """The head and a live version in one round trip, each as it is now, but not at one instant."""
        head, version = await self._table.get_many([head_key(model), version_key(model, number)])
        return head_from_item(head) if head else None, version_from_item(version) if version else None

    async def list(self, is_shown: Callable[[str], bool], *, prefix: str, cursor: str | None, limit: int) -> Page[Head]:
        """The models that are shown and not deleted, by name. One of a moment ago may be missing: the index lags.

        Of a model that is not shown, nothing tells: no cursor names it, and a page that is not the last is followed by
        one that shows something.
        """
        scope = f"models {prefix}"
        name = cursors.decode_name(scope, cursor, prefix=prefix)
        after = head_key(name) if name else None
        shown: list[ItemKey] = []
        more = True
        while more and len(shown) <= limit:
            page = await self._table.query_index(
                CATALOG_INDEX, CATALOG, prefix=f"{HEAD}{prefix}", after=after, limit=max(limit + 1, MIN_PAGE)
            )
            shown += [key for key in page.items if is_shown(key.partition.removeprefix(HEAD))]
            more = bool(page.more and page.items)
            after = page.items[-1] if page.items else after
        items = await self._table.get_many(shown[:limit])
        heads = [head_from_item(item) for item in items if item]
        next_cursor = _next(scope, shown[:limit]) if len(shown) > limit else None
        return Page([head for head in heads if not head.deleted_at], next_cursor)


def _next(scope: str, shown: Sequence[ItemKey]) -> str:
    return cursors.encode(scope, shown[-1].partition.removeprefix(HEAD))
