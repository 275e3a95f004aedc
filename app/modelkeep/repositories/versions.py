"""Reads what has a version number: live versions, uploads and the trash. Replaces the multipart ids of uploads."""

import builtins
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Final

from modelkeep.domain.changes import MAX_SUBJECTS
from modelkeep.domain.models import TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import Stage
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.conditional_put import put_idempotently
from modelkeep.repositories.items import upload_from_item, upload_to_item
from modelkeep.repositories.keys import TRASH, UPLOAD, trash_key, upload_key, version_key
from modelkeep.repositories.pages import Page
from modelkeep.repositories.version_items import trash_from_item, version_from_item, version_to_item
from modelkeep.storage.attributes import item_size
from modelkeep.storage.table import MAX_KEYS, SORT, Equals, Item, Present, Table

_PAGE_SIZE: Final = 100
_MAX_READ: Final = 1_000
_MAX_BATCH_BYTES: Final = 1024 * 1024
"""Of versions, and as many of uploads, in one transaction: it may move all of them, and has 4 MB and a few seconds."""


class Versions:
    """Live versions, uploads and deleted versions of models, by number."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, model: str, number: int) -> Version | None:
        """A complete, live version; `None` if there is none."""
        item = await self._table.get(version_key(model, number))
        return version_from_item(item) if item else None

    async def find_many(self, model: str, numbers: Sequence[int]) -> Sequence[Version | None]:
        """Live versions, 100 in a round trip, in the order of `numbers`; each as it is now, but not at one instant."""
        return await self.find_each([(model, number) for number in numbers])

    async def find_each(self, named: Sequence[tuple[str, int]]) -> Sequence[Version | None]:
        """Live versions of any models, each by its model and number; as `find_many`."""
        found: builtins.list[Version | None] = []
        for start in range(0, len(named), MAX_KEYS):
            keys = [version_key(model, number) for model, number in named[start : start + MAX_KEYS]]
            items = await self._table.get_many(keys)
            found += [version_from_item(item) if item else None for item in items]
        return found

    async def find_upload(self, model: str, number: int) -> Upload | None:
        """An upload that is not complete yet; `None` if there is none."""
        item = await self._table.get(upload_key(model, number))
        return upload_from_item(item) if item else None

    async def replace_upload(self, read: Upload, changed: Upload) -> bool:
        """Write an upload in place of the revision that was read; `False`, and nothing is written, if that is gone.

        This is no change of the model, so the head stays as it is. Raises `UnavailableError`, `OutcomeUnknownError`.
        """
        condition = Equals({"revision": read.revision}) if read.revision else Present()
        return await put_idempotently(self._table, upload_to_item(changed), condition, what=read.model)

    async def find_trashed(self, model: str, number: int) -> TrashedVersion | None:
        """A deleted version; `None` if there is none."""
        item = await self._table.get(trash_key(model, number))
        return trash_from_item(item) if item else None

    async def list(
        self, model: str, is_included: Callable[[Version], bool] | None, *, scope: str, cursor: str | None, limit: int
    ) -> Page[Version]:
        """The live versions, or those of them that pass the filter, newest first. Raises `InvalidCursorError`.

        A page reads at most 1,000 versions, so it may be short, or empty, although the list continues.
        """
        after = cursors.decode_number(scope, cursor)
        found: builtins.list[Version] = []
        page_size = _PAGE_SIZE if is_included else limit
        for _ in range(0, _MAX_READ, page_size):
            page = await self._table.query(model, after=after, descending=True, limit=page_size)
            for item in page.items:
                if len(found) == limit:
                    return Page(found, cursors.encode(scope, str(after)))
                after = int(item[SORT])
                version = version_from_item(item)
                if is_included is None or is_included(version):
                    found.append(version)
            if not page.more:
                return Page(found, None)
            if len(found) == limit:
                break
        return Page(found, cursors.encode(scope, str(after)))

    async def list_uploads(self, model: str, *, scope: str, cursor: str | None, limit: int) -> Page[Upload]:
        """Uploads, newest first; a page may be short although the list continues. Raises `InvalidCursorError`."""
        after = cursors.decode_number(scope, cursor)
        page = await self._table.query(f"{UPLOAD}{model}", after=after, descending=True, limit=limit)
        uploads = [upload_from_item(item) for item in page.items]
        more = page.more and uploads
        return Page(uploads, cursors.encode(scope, str(uploads[-1].number)) if more else None)

    async def walk(self, model: str, *, up_to: int | None = None) -> AsyncGenerator[Version, None]:
        """All live versions, newest first; with `up_to`, those with this number or a lower one."""
        async for item in self._walk(model, after=up_to and up_to + 1):
            yield version_from_item(item)

    async def walk_uploads(self, model: str) -> AsyncGenerator[Upload, None]:
        """All uploads, newest first."""
        async for item in self._walk(f"{UPLOAD}{model}"):
            yield upload_from_item(item)

    async def walk_trash(self, model: str) -> AsyncGenerator[TrashedVersion, None]:
        """All deleted versions, newest first."""
        async for item in self._walk(f"{TRASH}{model}"):
            yield trash_from_item(item)

    async def take(self, model: str, most: int) -> tuple[Sequence[Version], bool]:
        """Up to `most` of the newest live versions, as many as fit into one transaction, and whether there are more."""
        items, more = await self._take(model, most)
        return [version_from_item(item) for item in items], more

    async def take_uploads(self, model: str, most: int) -> tuple[Sequence[Upload], bool]:
        """Up to `most` of the newest uploads, as many as fit into one transaction, and whether there are more."""
        items, more = await self._take(f"{UPLOAD}{model}", most)
        return [upload_from_item(item) for item in items], more

    async def newest_in_staging(self, model: str) -> Version | None:
        """The newest version in staging; `None` if there is none."""
        async with aclosing(self.walk(model)) as versions:
            async for version in versions:
                if version.stage is Stage.STAGING:
                    return version
        return None

    async def newest_but(self, model: str, number: int) -> int | None:
        """The highest number of a live version other than `number`; `None` if there is none."""
        page = await self._table.query(model, descending=True, limit=2)
        return next((int(item[SORT]) for item in page.items if int(item[SORT]) != number), None)

    async def _take(self, partition: str, most: int) -> tuple[Sequence[Item], bool]:
        page = await self._table.query(partition, descending=True, limit=most + 1)
        taken = page.items[: _fitting(page.items[:most])]
        return taken, page.more or len(taken) < len(page.items)

    async def _walk(self, partition: str, *, after: int | None = None) -> AsyncGenerator[Item, None]:
        more = True
        while more:
            page = await self._table.query(partition, after=after, descending=True, limit=_PAGE_SIZE)
            for item in page.items:
                yield item
            more = page.more
            after = int(page.items[-1][SORT]) if page.items else after


def fitting(versions: Sequence[Version]) -> Sequence[Version]:
    """The first of these versions, as many as one transaction can write."""
    return versions[: _fitting([version_to_item(version) for version in versions[:MAX_SUBJECTS]])]


def _fitting(items: Sequence[Item]) -> int:
    """How many of the first items fit into one transaction."""
    totals = accumulate(item_size(item) for item in items)
    return sum(total <= _MAX_BATCH_BYTES for total in totals)
