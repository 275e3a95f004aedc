"""A file that arrives in blocks, in any order, and survives the death of the process that fetches it.

<name>           the bytes, with holes where nothing has arrived
<name>.blocks    the ETag of the object (256 bytes, padded), then one byte per block: 1 once its bytes are in the file

Both are written through the system's cache, which outlives the process; after a crash of the machine the digest tells.
"""

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelkeep.client.presigned_transport import BLOCK

_ETAG_BYTES: Final = 256

_HASHED_AT_ONCE: Final = 8
"""A thread that brings a block hashes so many before it goes on receiving: a backlog never stalls its connection."""


class PartialFile:
    """What has arrived of `size` bytes. Threads may write different blocks at once. Any method may raise `OSError`."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._count = -(-size // BLOCK)
        self._journal_path = path.with_name(f"{path.name}.blocks")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._open: tuple[int, ...] = (self._file, self._journal)
        self._lock = threading.Lock()
        self._etag = ""
        self._begin()

    @property
    def etag(self) -> str | None:
        """The ETag of the object whose blocks these are, if one is known."""
        return self._etag or None

    @property
    def arrived(self) -> int:
        """How many bytes are there."""
        return sum(self._length(index) for index, there in enumerate(self._there) if there)

    def missing(self, *, at_most: int) -> list[range]:
        """The positions that have not arrived, in runs of whole blocks of at most so many bytes."""
        runs: list[range] = []
        for index in (index for index, there in enumerate(self._there) if not there):
            start, stop = index * BLOCK, index * BLOCK + self._length(index)
            if runs and runs[-1].stop == start and stop - runs[-1].start <= at_most:
                runs[-1] = range(runs[-1].start, stop)
            else:
                runs.append(range(start, stop))
        return runs

    def rest_of(self, positions: range) -> range:
        """What is left of a run of blocks that arrive in order."""
        start = positions.start
        while start < positions.stop and self._there[start // BLOCK]:
            start += BLOCK
        return range(min(start, positions.stop), positions.stop)

    def note_etag(self, etag: str | None) -> None:
        """Remember the ETag of the object, if none is known yet."""
        if etag and not self._etag:
            self._etag = etag
            os.pwrite(self._journal, etag.encode()[:_ETAG_BYTES].ljust(_ETAG_BYTES), 0)

    def write(self, start: int, block: bytes | bytearray) -> int:
        """Keep the block that begins at `start`, which must be whole. Returns how many bytes were not there before.

        A block that is there stays as it is: it may be in the digest already.
        """
        index = start // BLOCK
        if self._there[index]:
            return 0
        _write_all(self._file, block, start)
        os.pwrite(self._journal, b"\1", _ETAG_BYTES + index)
        with self._lock:
            self._there[index] = 1
        self._hash(index, block)
        return len(block)

    def sha256(self) -> str:
        """The digest of all bytes, once they are there; most of it was computed as they came."""
        while self._hashed < self._count:
            self._whole.update(self._read(self._hashed))
            self._hashed += 1
        return self._whole.hexdigest()

    def finish(self, target: Path) -> None:
        """Make the bytes durable and move them to `target`, at once."""
        os.fsync(self._file)
        self.path.replace(target)
        self.close()
        self._journal_path.unlink(missing_ok=True)

    def start_again(self) -> None:
        """Forget everything that has arrived."""
        os.ftruncate(self._file, 0)
        os.ftruncate(self._journal, 0)
        self._begin()

    def close(self) -> None:
        """Let go of the files; what has arrived stays."""
        descriptors, self._open = self._open, ()
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)

    def discard(self) -> None:
        """Remove all of it."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def _begin(self) -> None:
        length = _ETAG_BYTES + self._count
        if os.fstat(self._journal).st_size != length or os.fstat(self._file).st_size > self.size:
            os.ftruncate(self._file, 0)
            os.ftruncate(self._journal, 0)
            os.ftruncate(self._journal, length)
        kept = os.pread(self._journal, length, 0)
        self._etag = kept[:_ETAG_BYTES].decode("latin-1").strip(" \0")
        self._there = bytearray(kept[_ETAG_BYTES:])
        self._whole = hashlib.sha256()
        self._hashed = 0
        self._hashing = False

    def _hash(self, index: int, block: bytes | bytearray) -> None:
        """Bring the digest forward; one thread at a time does, others leave it to that one or to the next."""
        with self._lock:
            if self._hashing or self._hashed == self._count or not self._there[self._hashed]:
                return
            self._hashing = True
        for _ in range(_HASHED_AT_ONCE):
            self._whole.update(block if index == self._hashed else self._read(self._hashed))
            with self._lock:
                self._hashed += 1
                if self._hashed == self._count or not self._there[self._hashed]:
                    break
        with self._lock:
            self._hashing = False

    def _read(self, index: int) -> bytes:
        return os.pread(self._file, self._length(index), index * BLOCK)

    def _length(self, index: int) -> int:
        return min(BLOCK, self.size - index * BLOCK)


def _write_all(descriptor: int, block: bytes | bytearray, start: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, start)
        start += written
        view = view[written:]
