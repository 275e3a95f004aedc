"""Whether this table owns the bucket: what deletes or writes elsewhere than its own would harm another registry.

A table has a random id, the bucket a mark that names the id and the table. The table owns the bucket if both agree.
`claim` writes the id first and the mark last, if no other is there: so a bucket has at most one owner at every instant,
and a run that was killed at any point is completed by another.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final
from uuid import uuid4

import structlog

from modelkeep.domain.errors import (
    BucketOwnedError,
    BucketUnmarkedError,
    ContentionError,
    ObjectExistsError,
    UnavailableError,
)
from modelkeep.domain.ownership import OWNER_KEY, OwnerMark
from modelkeep.domain.values import Digest
from modelkeep.repositories.owners import Owners
from modelkeep.storage.objects import ObjectGoneError, ObjectStore

CHECK_TIMEOUT_SECONDS: Final = 5.0
"""How long `refuse_foreign` waits for the bucket and the table."""

_ATTEMPTS: Final = 8

_log = structlog.get_logger("modelkeep.ownership")


class Ownership:
    """The bond of a table and a bucket. `table` is the name of the table, `None` for a folder, which holds both."""

    def __init__(self, owners: Owners, store: ObjectStore, table: str | None) -> None:
        self._owners = owners
        self._store = store
        self._table = table
        self._bucket = store.uri(OWNER_KEY).removesuffix(f"/{OWNER_KEY}")

    async def require(self) -> None:
        """Return if the bucket is this table's, or there is nothing to own.

        Raises `BucketOwnedError`, `BucketUnmarkedError`, and `UnavailableError` if that cannot be told.
        """
        if self._table is None:
            return
        owner, mark = await self._owners.find(), await self._mark()
        if mark is None:
            raise BucketUnmarkedError(self._bucket)
        if mark != OwnerMark(owner or "", self._table):
            raise self._owned_by(mark)

    async def refuse_foreign(self) -> None:
        """Raise `BucketOwnedError` if the bucket is certainly another table's.

        A bucket that an earlier release has set up, and storage that does not answer, are logged.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self.require()
        except BucketUnmarkedError as error:
            _log.warning("bucket_unmarked", reason=str(error))
        except (UnavailableError, TimeoutError) as error:
            _log.warning("bucket_owner_unknown", reason=str(error) or "storage does not answer")

    async def refuse_other_name(self) -> None:
        """Raise `BucketOwnedError` if the mark names another table.

        A bucket that cannot be read may not be there yet, and is taken for unmarked.
        """
        mark = None
        with suppress(UnavailableError):
            mark = await self._mark()
        if mark and self._table not in (None, mark.table):
            raise self._owned_by(mark)

    async def claim(self, *, take_over: bool) -> bool:
        """Make this table the owner of a bucket that has none; return whether anything had to be written.

        With `take_over` the table gets a new id and takes the place of any owner. The former owner owns the bucket
        until its mark is removed, by the version that was seen; then no table does until the new mark is written. Of
        several at once one owns it in the end.

        Raises `BucketOwnedError`, `UnavailableError`, and `ContentionError` for too many at once.
        """
        if self._table is None:
            return False
        owner, changed = await self._own_id(renew=take_over)
        mine = OwnerMark(owner, self._table)
        for _ in range(_ATTEMPTS):
            found = await self._store.stat(OWNER_KEY)
            mark = await self._mark()
            if mark == mine:
                return changed
            if mark is not None:
                if not take_over:
                    raise self._owned_by(mark)
                if found is not None:
                    await self._store.delete(OWNER_KEY, version_id=found.version_id)
            changed = await self._put(mine) or changed
        raise ContentionError(OWNER_KEY)

    async def _own_id(self, *, renew: bool) -> tuple[str, bool]:
        """The table's id, and whether it was written just now."""
        for _ in range(_ATTEMPTS):
            owner = await self._owners.find()
            if owner is not None and not renew:
                return owner, False
            if await self._owners.replace(new := uuid4().hex, expected=owner):
                return new, True
        raise ContentionError(OWNER_KEY)

    async def _mark(self) -> OwnerMark | None:
        try:
            async with aclosing(self._store.read(OWNER_KEY)) as blocks:
                return OwnerMark.from_json(await anext(blocks, b""))
        except ObjectGoneError:
            return None

    async def _put(self, mark: OwnerMark) -> bool:
        content = mark.to_json()
        sha256 = Digest(hashlib.sha256(content).hexdigest())
        try:
            await self._store.put(OWNER_KEY, _one_block(content), size=len(content), sha256=sha256)
        except ObjectExistsError:
            return False
        return True

    def _owned_by(self, mark: OwnerMark) -> BucketOwnedError:
        return BucketOwnedError(self._bucket, owner=mark.table, table=str(self._table))


async def _one_block(content: bytes) -> AsyncIterator[bytes]:
    yield content
