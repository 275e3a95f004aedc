"""Files by digest, shared by the processes of a machine: each is fetched once. `disk_layout` describes the paths."""

import fcntl
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from modelkeep.client.disk_layout import is_disk_full, lock_path, partial_path
from modelkeep.client.errors import LocalFileError
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.kit.digests import sha256_of_file
from modelkeep.kit.file_locks import async_locked

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the bytes of a file until one of the two is written."""


class Cache:
    """Files by digest in `folder`, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def provide(
        self, sha256: str, target: Path, fetch: Callable[[Path], Awaitable[None]], transfers: TransferPool
    ) -> bool:
        """Put the file with this digest at `target`; `fetch(path)` is called to put it into the cache if it is missing.

        Returns whether it was in the cache. A cached file is hashed before it is used; a damaged one is fetched again.
        Raises `LocalFileError` for the cache, `OSError` for `target`, and what `fetch` raises.
        """
        cached = self._folder / sha256
        try:
            was_cached = await transfers.in_thread(_is_intact, cached) or not await self._fetch(
                cached, fetch, transfers
            )
        except OSError as error:
            raise LocalFileError(self._folder, f"cannot be used as a cache: {error.strerror}.") from error
        await transfers.in_thread(_copy_out, cached, target)
        return was_cached

    async def _fetch(self, cached: Path, fetch: Callable[[Path], Awaitable[None]], transfers: TransferPool) -> bool:
        """Fetch a file into the cache, or wait for the process that does. Returns whether this one has fetched it."""
        await transfers.in_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with async_locked(lock_path(cached)):
            if await transfers.in_thread(_is_intact, cached):
                return False
            try:
                await fetch(cached)
            except OSError as error:
                if is_disk_full(error):
                    _remove_partial(cached)
                raise
            await transfers.in_thread(cached.chmod, 0o444)
            return True


def _is_intact(cached: Path) -> bool:
    return cached.exists() and sha256_of_file(cached) == cached.name


def _remove_partial(cached: Path) -> None:
    for partial in cached.parent.glob(f"{partial_path(cached).name}*"):
        partial.unlink(missing_ok=True)


def _copy_out(cached: Path, target: Path) -> None:
    """Put the bytes at `target`: as a clone if the file system has them, else as a hard link, else as a copy."""
    draft = target.with_name(f"{target.name}.shared")
    for leftover in (draft, target):
        leftover.unlink(missing_ok=True)
    if not _clone(cached, draft):
        try:
            draft.hardlink_to(cached)
        except OSError:
            _copy(cached, draft)
    draft.replace(target)


def _copy(cached: Path, draft: Path) -> None:
    shutil.copyfile(cached, draft)
    with draft.open("rb") as copied:
        os.fsync(copied)


def _clone(cached: Path, draft: Path) -> bool:
    """Clone a file (reflink), or return `False` where the file system has no clones."""
    with cached.open("rb") as source, draft.open("xb") as clone:
        try:
            fcntl.ioctl(clone, _FICLONE, source.fileno())
        except OSError:
            pass
        else:
            os.fsync(clone)
            return True
    draft.unlink()
    return False
