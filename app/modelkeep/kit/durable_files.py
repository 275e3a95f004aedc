"""Steps on a file system that survive a crash of the machine and leave nothing half-made. All of them block.

A file is durable once both its bytes and its entry in the folder are flushed: fsync(2) of a file does not flush its
entry. Any function may raise `OSError`.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

BLOCK: Final = 1024 * 1024
"""Bytes that are read, hashed and written at a time."""

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the bytes of a file until one of the two is written."""

_UNSUPPORTED_ERRNOS: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
"""What fsync(2) of a folder fails with where there is none. Source: https://man7.org/linux/man-pages/man2/fsync.2.html"""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: a file that it creates can be read and written by its owner alone, whatever the umask."""
    return os.open(path, flags, 0o600)


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents; only their owner may enter them, whatever the umask."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


class StagedFile:
    """A private file being written in `folder`, hashed as it grows, and published by moving it away."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / uuid4().hex
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = open(self.path, "xb", opener=open_private)  # noqa: SIM115 -- `finish` and `discard` close it

    @property
    def sha256(self) -> str:
        """The digest of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, block: bytes | bytearray) -> None:
        """Append a block."""
        self._file.write(block)
        self._hash.update(block)
        self.size += len(block)

    def copy(self, source: Path) -> None:
        """Append the whole of another file, a block at a time."""
        with source.open("rb") as file:
            while block := file.read(BLOCK):
                self.write(block)

    def finish(self) -> None:
        """Flush the bytes to disk and close the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Close the file and, unless it was moved away, remove it."""
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def staged_file(folder: Path) -> Iterator[StagedFile]:
    """Begin a file in `folder`; it is removed when the block ends, unless it was moved away."""
    staged = StagedFile(folder)
    try:
        yield staged
    finally:
        staged.discard()


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to disk. Some shares have no fsync for folders: they go without."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED_ERRNOS or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def sync_with_parents(folder: Path, *, root: Path) -> None:
    """Flush the entries of a folder, and those of its parents up to `root`."""
    for each in (folder, *folder.parents):
        sync(each)
        if each == root:
            return


def sync_folders(tree: Path) -> None:
    """Flush the entries of a folder and of all folders in it."""
    for parent, _, _ in os.walk(tree):
        sync(Path(parent))


def replace_tree(tree: Path, target: Path, *, aside: Path) -> None:
    """Move `tree` to `target`, and what is there out of the way, to `tree` or to `aside`.

    On Linux the two change places in one step. Elsewhere there is an instant at which `target` does not exist.
    """
    if not target.exists():
        tree.rename(target)
        return
    if exchange(tree, target):
        return
    target.rename(aside)
    tree.rename(target)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; `False` where the system cannot.

    Source: https://man7.org/linux/man-pages/man2/rename.2.html, RENAME_EXCHANGE
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def prune(folder: Path, *, root: Path) -> None:
    """Remove a folder and its parents up to `root`, as far as they are empty."""
    for each in (folder, *folder.parents):
        if each == root:
            return
        try:
            each.rmdir()
        except OSError:
            return


def clear(entries: Iterable[Path], *, before: float) -> int:
    """Remove files and folders that were last changed before an epoch second. Returns how many it removed."""
    old = [entry for entry in entries if _changed_at(entry) < before]
    for entry in old:
        remove(entry)
    return len(old)


def _changed_at(entry: Path) -> float:
    try:
        return entry.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def remove(entry: Path) -> None:
    """Remove a file, or a folder with its contents. Does nothing if there is none."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and in the folders in it. A file that is removed meanwhile may be missing."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def copy_bytes(source: BinaryIO, target: BinaryIO) -> None:
    """Copy all bytes: as a clone (reflink) where the file system has them."""
    try:
        fcntl.ioctl(target, _FICLONE, source.fileno())
    except OSError:
        shutil.copyfileobj(source, target, BLOCK)
        target.flush()
