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

from app.client.local_files import digest_of
from app.client.locks import locked
from app.client.transfers import Transfers

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the bytes of a file until one of the two is written."""


class Cache:
    """Files by digest below `folder`, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def provide(
        self, sha256: str, target: Path, fetch: Callable[[Path], Awaitable[None]], transfers: Transfers
    ) -> bool:
        """Put the file with this digest at `target`, by `fetch` into the cache first if it is not there.

        Returns whether it was there. What is there is read through before it is used: a damaged file is fetched again.
        May raise `OSError`, and what `fetch` raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._folder / sha256
        was_there = await transfers.in_thread(_is_whole, kept, sha256)
        if not was_there:
            async with locked(self._folder / f"{sha256}.lock") as waited:
                was_there = waited and await transfers.in_thread(_is_whole, kept, sha256)
                if not was_there:
                    await fetch(kept)
                    kept.chmod(0o444)
        await transfers.in_thread(_share, kept, target)
        return was_there


def _is_whole(kept: Path, sha256: str) -> bool:
    return kept.exists() and digest_of(kept) == sha256


def _share(kept: Path, target: Path) -> None:
    """Put the bytes at `target`: sharing them if the file system can, else as another name, else copied."""
    target.unlink(missing_ok=True)
    if _reflinked(kept, target):
        return
    try:
        target.hardlink_to(kept)
    except OSError:
        shutil.copyfile(kept, target)


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
