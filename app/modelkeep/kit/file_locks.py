"""Locks between processes on one machine, by flock(2): the system releases those of a process that dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.1


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Exclude every other holder of the lock file, in this process and in others; shared holders admit each other.

    Blocks. The file stays, so that many locks can be taken in turn at the price of one. Raises `OSError`.
    """
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def async_locked(path: Path) -> AsyncIterator[bool]:
    """Exclude every other holder of the lock file, polling without blocking; the file is removed afterwards.

    Yields whether it had to wait. Raises `OSError`.
    """
    waited = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _is_acquired(descriptor, path):
                try:
                    yield waited
                finally:
                    os.unlink(path)  # noqa: PTH108 -- one system call, no waiting
                return
        finally:
            os.close(descriptor)
        waited = True
        await asyncio.sleep(_POLL_SECONDS)


def _is_acquired(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours, and of the file that is at `path` now: the last holder has unlinked its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
