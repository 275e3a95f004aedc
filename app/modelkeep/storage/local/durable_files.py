"""Steps on a file system that are durable, exclusive, and leave nothing half-made. All of them block."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep.domain.values import Digest

BLOCK: Final = 1024 * 1024
"""Bytes that are read, hashed and written at a time."""


class StagedFile:
    """A file being written in `folder`, hashed as it grows; it is nothing until it is moved away."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / uuid4().hex
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = self.path.open("xb")

    @property
    def sha256(self) -> Digest:
        """The digest of what was written so far."""
        return Digest(self._hash.hexdigest())

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
        """Close the file, its bytes durable."""
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
    """Begin a draft that is gone when the block ends, unless it was moved away."""
    draft = StagedFile(folder)
    try:
        yield draft
    finally:
        draft.discard()


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep out every other holder of the lock file, in this process and in others; shared holders go together."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def sync(folder: Path, *, root: Path) -> None:
    """Make the entries of a folder durable, and those of its parents up to `root`."""
    for each in (folder, *folder.parents):
        _sync_one(each)
        if each == root:
            return


def _sync_one(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """Remove files and folders that were last changed before an epoch second; return how many they were."""
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
    """Remove a file or a folder with all that is in it; nothing to remove is fine."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Find every file in a folder and in the folders in it; what vanishes meanwhile may be left out."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)
