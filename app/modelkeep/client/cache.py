"""A folder of files by digest that many processes on one machine share: each file is fetched once for all of them.

<folder>/<sha256>               whole and verified; read-only, because places link to it
<folder>/<sha256>.partial       on its way
<folder>/<sha256>.lock          held by the process that fetches it
"""

import fcntl
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from modelkeep.client.errors import LocalFileError
from modelkeep.client.local_files import DISK_FULL_ERRNOS
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.kit.digests import sha256_of_file
from modelkeep.kit.file_locks import async_locked

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the bytes of a file until one of the two is written."""


class Cache:
    """Files by digest below `folder`, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def provide(
        self, sha256: str, target: Path, fetch: Callable[[Path], Awaitable[None]], transfers: TransferPool
    ) -> bool:
        """Put the file with this digest at `target`, by `fetch` into the cache first if it is not there.

        Returns whether it was there. What is there is read through before it is used: a damaged file is fetched again.
        Raises `LocalFileError` for the cache, `OSError` for `target`, and what `fetch` raises.
        """
        kept = self._folder / sha256
        try:
            was_there = await transfers.in_thread(_is_whole, kept) or await self._has_filled(kept, fetch, transfers)
        except OSError as error:
            raise LocalFileError(self._folder, f"cannot be used as a cache: {error.strerror}.") from error
        await transfers.in_thread(_share, kept, target)
        return was_there

    async def _has_filled(self, kept: Path, fetch: Callable[[Path], Awaitable[None]], transfers: TransferPool) -> bool:
        """Fetch a file, or wait for the one who does; whether there was one."""
        await transfers.in_thread(self._folder.mkdir, parents=True, exist_ok=True)
        async with async_locked(kept.with_name(f"{kept.name}.lock")):
            if await transfers.in_thread(_is_whole, kept):
                return True
            try:
                await fetch(kept)
            except OSError as error:
                if error.errno in DISK_FULL_ERRNOS:
                    _clear(kept)
                raise
            await transfers.in_thread(kept.chmod, 0o444)
            return False


def _is_whole(kept: Path) -> bool:
    return kept.exists() and sha256_of_file(kept) == kept.name


def _clear(kept: Path) -> None:
    """Leave nothing on a disk that is full."""
    for partial in kept.parent.glob(f"{kept.name}.partial*"):
        partial.unlink(missing_ok=True)


def _share(kept: Path, target: Path) -> None:
    """Put the bytes at `target`: sharing them if the file system can, else as another name, else copied."""
    draft = target.with_name(f"{target.name}.shared")
    for left_behind in (draft, target):
        left_behind.unlink(missing_ok=True)
    if not _reflinked(kept, draft):
        try:
            draft.hardlink_to(kept)
        except OSError:
            _copy(kept, draft)
    draft.replace(target)


def _copy(kept: Path, draft: Path) -> None:
    shutil.copyfile(kept, draft)
    with draft.open("rb") as copied:
        os.fsync(copied)


def _reflinked(kept: Path, target: Path) -> bool:
    with kept.open("rb") as source, target.open("xb") as clone:
        try:
            fcntl.ioctl(clone, _FICLONE, source.fileno())
        except OSError:
            pass
        else:
            os.fsync(clone)
            return True
    target.unlink()
    return False
