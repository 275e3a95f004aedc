"""Locks between processes on one machine, held by files that vanish with their use."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from modelkeep.client.errors import LocalFileError

_PAUSE: Final = 0.1


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[bool]:
    """Keep every other holder out until the block ends; the system releases the lock of a process that dies.

    Yields whether it had to wait. The file is removed afterwards. Raises `LocalFileError` if it cannot be made.
    """
    waited = False
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise LocalFileError(path.parent, f"cannot be written to: {error.strerror}.") from error
        try:
            if _acquired(descriptor, path):
                try:
                    yield waited
                finally:
                    os.unlink(path)  # noqa: PTH108 -- one system call, no waiting
                return
        finally:
            os.close(descriptor)
        waited = True
        await asyncio.sleep(_PAUSE)


def _acquired(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours, and its file still the one that others will look for."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
