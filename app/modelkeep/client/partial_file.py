"""A file that arrives in blocks, in any order, and survives the death of the process that fetches it.

A journal beside it says which blocks have arrived; `disk_layout` describes both. They are written through the system's
page cache, which outlives the process. A crash of the machine may lose blocks: the digest shows it.
"""

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelkeep.client.disk_layout import journal_path
from modelkeep.client.presigned_transport import BLOCK

_ETAG_BYTES: Final = 256
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_MAX_BLOCKS_HASHED_AT_ONCE: Final = 8
"""Limit for a thread that has just written a block: a backlog of hashing must not stall its connection."""


class PartialFile:
    """What has arrived of `size` bytes. Threads may write different blocks at once. Methods may raise `OSError`."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._block_count = -(-size // BLOCK)
        self._journal_path = journal_path(path)
        self._file = os.open(path, _FLAGS, 0o666)
        self._journal = os.open(self._journal_path, _FLAGS, 0o666)
        self._descriptors: tuple[int, ...] = (self._file, self._journal)
        self._lock = threading.Lock()
        self._etag = ""
        self._load()

    @property
    def etag(self) -> str | None:
        """The ETag of the object that the blocks are from, or `None` if it is unknown."""
        return self._etag or None

    @property
    def arrived(self) -> int:
        """The number of bytes that have arrived."""
        return sum(self._block_size(index) for index, present in enumerate(self._present) if present)

    def missing(self, *, at_most: int) -> list[range]:
        """The positions that have not arrived, as ranges of whole blocks of at most `at_most` bytes."""
        runs: list[range] = []
        for index in (index for index, present in enumerate(self._present) if not present):
            start, stop = index * BLOCK, index * BLOCK + self._block_size(index)
            if runs and runs[-1].stop == start and stop - runs[-1].start <= at_most:
                runs[-1] = range(runs[-1].start, stop)
            else:
                runs.append(range(start, stop))
        return runs

    def remaining(self, positions: range) -> range:
        """What is missing of a range whose blocks arrive in order."""
        start = positions.start
        while start < positions.stop and self._present[start // BLOCK]:
            start += BLOCK
        return range(min(start, positions.stop), positions.stop)

    def set_etag(self, etag: str | None) -> None:
        """Record the ETag of the object, unless one is recorded already."""
        if etag and not self._etag:
            self._etag = etag
            os.pwrite(self._journal, etag.encode()[:_ETAG_BYTES].ljust(_ETAG_BYTES), 0)

    def write(self, start: int, block: bytes | bytearray) -> int:
        """Write the whole block that begins at `start`. Returns how many bytes are new: none if it was there already.

        A block is never written twice, because it may be part of the digest already.
        """
        index = start // BLOCK
        if self._present[index]:
            return 0
        _write_all(self._file, block, start)
        os.pwrite(self._journal, b"\1", _ETAG_BYTES + index)
        with self._lock:
            self._present[index] = 1
        self._advance_digest(index, block)
        return len(block)

    def sha256(self) -> str:
        """The digest of all bytes, once all have arrived; most of it was computed while they did."""
        while self._hashed_count < self._block_count:
            self._digest.update(self._read_block(self._hashed_count))
            self._hashed_count += 1
        return self._digest.hexdigest()

    def finish(self, target: Path) -> None:
        """Flush the bytes to disk and move them to `target`, in one step."""
        os.fsync(self._file)
        self.path.replace(target)
        self.close()
        self._journal_path.unlink(missing_ok=True)

    def reset(self) -> None:
        """Drop everything that has arrived."""
        os.ftruncate(self._file, 0)
        os.ftruncate(self._journal, 0)
        self._load()

    def close(self) -> None:
        """Close the files; what has arrived stays."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    def discard(self) -> None:
        """Remove the file and its journal."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def _load(self) -> None:
        length = _ETAG_BYTES + self._block_count
        if os.fstat(self._journal).st_size != length or os.fstat(self._file).st_size > self.size:
            os.ftruncate(self._file, 0)
            os.ftruncate(self._journal, 0)
            os.ftruncate(self._journal, length)
        journal = os.pread(self._journal, length, 0)
        self._etag = journal[:_ETAG_BYTES].decode("latin-1").strip(" \0")
        self._present = bytearray(journal[_ETAG_BYTES:])
        self._digest = hashlib.sha256()
        self._hashed_count = 0
        self._is_hashing = False

    def _advance_digest(self, index: int, block: bytes | bytearray) -> None:
        """Add blocks to the digest, in order. One thread at a time does; the others go on receiving."""
        with self._lock:
            if self._is_hashing or self._hashed_count == self._block_count or not self._present[self._hashed_count]:
                return
            self._is_hashing = True
        for _ in range(_MAX_BLOCKS_HASHED_AT_ONCE):
            self._digest.update(block if index == self._hashed_count else self._read_block(self._hashed_count))
            with self._lock:
                self._hashed_count += 1
                if self._hashed_count == self._block_count or not self._present[self._hashed_count]:
                    break
        with self._lock:
            self._is_hashing = False

    def _read_block(self, index: int) -> bytes:
        return os.pread(self._file, self._block_size(index), index * BLOCK)

    def _block_size(self, index: int) -> int:
        return min(BLOCK, self.size - index * BLOCK)


def _write_all(descriptor: int, block: bytes | bytearray, start: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, start)
        start += written
        view = view[written:]
