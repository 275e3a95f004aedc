"""Locks between processes on one machine, by flock(2): the system releases those of a process that dies."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from modelkeep.kit.durable_files import open_private

_POLL_SECONDS: Final = 0.1
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Exclude every other holder of the lock file, in this process and in others; shared holders admit each other.

    Blocks. The file, its owner's alone, stays, so that many locks can be taken in turn at the price of one. Raises
    `OSError`.
    """
    with open(path, "ab", opener=open_private) as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def async_locked(path: Path, *, dir_fd: int | None = None) -> AsyncIterator[bool]:
    """Exclude every other holder of the lock file, polling without blocking; the file is removed afterwards.

    `path` is relative to the folder that `dir_fd` is open at, if it is given; a link there is not followed. A lock file
    of another user is locked too, if it may be read. Yields whether it had to wait. Raises `OSError`, and leaves no
    file then.
    """
    waited = False
    while True:
        descriptor = _open(path, dir_fd)
        try:
            if _is_acquired(descriptor, path, dir_fd):
                try:
                    yield waited
                finally:
                    _remove(path, dir_fd)
                return
        finally:
            os.close(descriptor)
        waited = True
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def async_locked_if_possible(
    path: Path, on_failure: Callable[[OSError], None], *, dir_fd: int | None = None
) -> AsyncIterator[bool]:
    """As `async_locked`; where no lock can be had, `on_failure` is called, and the block runs without one."""
    async with AsyncExitStack() as stack:
        waited = False
        try:
            waited = await stack.enter_async_context(async_locked(path, dir_fd=dir_fd))
        except OSError as error:
            on_failure(error)
        yield waited


def may_be_written(path: Path) -> bool:
    """Whether a process may hold a file open for writing, or have it mapped so, under any of its names.

    Asked by a read lease, which the system grants on a file that nobody writes and the caller owns; it is given back at
    once. `True` too where no lease is to be had: on network file systems, and on others than Linux. Raises `OSError`
    if the file cannot be opened. Source: https://man7.org/linux/man-pages/man2/F_SETLEASE.2const.html
    """
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        return not (sys.platform == "linux" and _has_leased(descriptor))
    finally:
        os.close(descriptor)


if sys.platform == "linux":

    def _has_leased(descriptor: int) -> bool:
        """Take a read lease and give it back. A process that opens the file for writing meanwhile waits that long."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored by default; SIGIO ends the process
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return True


def _open(path: Path, dir_fd: int | None) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666, dir_fd=dir_fd)
    except PermissionError as error:
        try:
            return os.open(path, os.O_RDONLY | _FLAGS, dir_fd=dir_fd)
        except FileNotFoundError:
            raise error from None


def _is_acquired(descriptor: int, path: Path, dir_fd: int | None) -> bool:
    """Whether the lock is ours, and of the file that is at `path` now: the last holder has unlinked its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path, dir_fd=dir_fd, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        _remove(path, dir_fd)
        raise


def _remove(path: Path, dir_fd: int | None) -> None:
    """Remove a lock file, unless only its owner may."""
    with suppress(FileNotFoundError, PermissionError):
        os.unlink(path, dir_fd=dir_fd)
