"""Reads the heads of models: each a consistent item, listed by an index that may lag."""

from collections.abc import Callable
from typing import Final

from modelkeep.domain.models import Head, Version
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.items import head_from_item
from modelkeep.repositories.keys import CATALOG, HEAD, head_key, version_key
from modelkeep.repositories.pages import Page
from modelkeep.repositories.version_items import version_from_item
from modelkeep.storage.table import CATALOG_INDEX, ItemKey, Table

MIN_PAGE: Final = 100
"""Names that are read at a time, at least, because the caller may not be allowed to see most of them."""


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

    async def list(
        self, is_visible: Callable[[str], bool], *, prefix: str, cursor: str | None, limit: int
    ) -> Page[Head]:
        """The models that are visible and not deleted, by name. A new one may be missing, because the index lags.

        Nothing reveals a model that is not visible: no cursor contains its name, and a page with a cursor is followed
        by one that has an entry. Raises `InvalidCursorError`.
        """
        scope = f"models {prefix}"
        name = cursors.decode_name(scope, cursor, prefix=prefix)
        after = head_key(name) if name else None
        visible: list[ItemKey] = []
        more = True
        while more and len(visible) <= limit:
            page = await self._table.query_index(
                CATALOG_INDEX, CATALOG, prefix=f"{HEAD}{prefix}", after=after, limit=max(limit + 1, MIN_PAGE)
            )
            visible += [key for key in page.items if is_visible(key.partition.removeprefix(HEAD))]
            more = bool(page.more and page.items)
            after = page.items[-1] if page.items else after
        items = await self._table.get_many(visible[:limit])
        heads = [head_from_item(item) for item in items if item]
        next_cursor = _cursor_after(scope, visible[limit - 1]) if len(visible) > limit else None
        return Page([head for head in heads if not head.deleted_at], next_cursor)


def _cursor_after(scope: str, key: ItemKey) -> str:
    return cursors.encode(scope, key.partition.removeprefix(HEAD))
