"""The data folder of the local store, and the steps that change it. All of them block: call them in a thread.

secret                                  signs URLs
objects/<key>                           the bytes as uploaded
checksums/<key>                         their size and SHA-256 as JSON: durable before the object appears
incoming/<uuid>                         being written, or being thrown away
multiparts/<id>/key                     the key of an open multipart object
multiparts/<id>/<number>-<sha256>       its parts
locks/<two hex digits>                  held for the last step of a write; many keys share one
locks/tree                              held to remove empty folders; shared by those who need the folders

An object exists if, and only if, there is a file at `objects/<key>`. A process may be killed between any two steps:
what is left is an object that is whole, or files that nobody looks for and `clear` removes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final

from modelkeep.domain.errors import ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit import durable_files
from modelkeep.kit.durable_files import StagedFile
from modelkeep.kit.file_locks import locked
from modelkeep.storage.objects import ObjectGoneError, StoredObject

_MAX_KEY_BYTES: Final = 1024
_MAX_SEGMENT_BYTES: Final = 255
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


def check_key(key: str) -> str:
    """Return `key` if it stays inside the folder as it is written; raise `ValueError` if not."""
    if not key.isprintable() or "\\" in key or len(key.encode()) > _MAX_KEY_BYTES:
        raise ValueError("a key has at most 1,024 bytes of printable characters, and no backslash")
    if any(segment in {"", ".", ".."} or len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in key.split("/")):
        raise ValueError("a key has no empty, '.' or '..' segment, and none of more than 255 bytes")
    return key


class Folder:
    """Objects as files below `root`, which is made if it is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.objects = self.root / "objects"
        self.checksums = self.root / "checksums"
        self.incoming = self.root / "incoming"
        self.multiparts = self.root / "multiparts"
        self._locks = self.root / "locks"
        self._tree = self._locks / "tree"
        for folder in (self.objects, self.checksums, self.incoming, self.multiparts, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        durable_files.sync_with_parents(self.root, root=self.root.parent)

    def path_of(self, key: str) -> Path:
        """Where an object lies or would lie. Raises `ValueError` for a key that would lie elsewhere."""
        return self.objects / check_key(key)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Exclude every other writer of a key or a multipart object."""
        return locked(self._locks / hashlib.sha256(name.encode()).hexdigest()[:2])

    def is_taken(self, key: str) -> bool:
        """Whether something lies where the object would."""
        return self.path_of(key).exists()

    def publish(self, key: str, draft: StagedFile, *, multipart_id: str | None = None) -> None:
        """Make a finished draft the object. Raises `ObjectExistsError`; then nothing was changed."""
        with self.lock(key):
            if self.is_taken(key):
                raise ObjectExistsError
            self._write_checksum(key, {"size": draft.size, "sha256": draft.sha256, "multipart_id": multipart_id})
            self._place(draft.path, self.path_of(key))

    def write(self, target: Path, content: bytes) -> None:
        """Write a small file, durably and at once."""
        with durable_files.staged_file(self.incoming) as draft:
            draft.write(content)
            draft.finish()
            self._place(draft.path, target)

    def _write_checksum(self, key: str, checksum: Mapping[str, Any]) -> None:
        self.write(self.checksums / key, json.dumps(checksum).encode())

    def _place(self, source: Path, target: Path) -> None:
        try:
            with locked(self._tree, shared=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ObjectExistsError from None
        durable_files.sync_with_parents(target.parent, root=self.root)

    def describe(self, key: str) -> StoredObject | None:
        """Say what is known of an object; `None` if there is none."""
        try:
            status = self.path_of(key).stat()
        except _NOT_THERE:
            return None
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        if not S_ISREG(status.st_mode):
            return None
        sha256 = self._digest(key, status.st_size)
        return StoredObject(
            key=key, size=status.st_size, sha256=sha256, parts=None, version_id=None, modified_at=modified_at
        )

    def origin(self, key: str) -> str | None:
        """Name the multipart object that the object was made of, if it was made of one."""
        origin = self._checksum(key).get("multipart_id") if self.is_taken(key) else None
        return None if origin is None else str(origin)

    def _digest(self, key: str, size: int) -> Digest | None:
        checksum = self._checksum(key)
        return Digest(checksum["sha256"]) if checksum.get("size") == size else None

    def _checksum(self, key: str) -> Mapping[str, Any]:
        try:
            checksum: Mapping[str, Any] = json.loads((self.checksums / key).read_bytes())
        except _NOT_THERE:
            return {}
        return checksum

    def remove(self, key: str) -> None:
        """Remove an object, then what is known of it; nothing to remove is fine."""
        with self.lock(key):
            for path, root in ((self.path_of(key), self.objects), (self.checksums / key, self.checksums)):
                with suppress(*_NOT_THERE, IsADirectoryError):
                    path.unlink()
                    durable_files.sync_with_parents(path.parent, root=self.root)
                with locked(self._tree):
                    durable_files.prune(path.parent, root=root)

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading; it stays readable if it is removed meanwhile. Raises `ObjectGoneError`."""
        try:
            return self.path_of(key).open("rb")
        except (*_NOT_THERE, IsADirectoryError):
            raise ObjectGoneError from None

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Find every object whose key starts with `prefix`."""
        parent, _, _ = prefix.rpartition("/")
        for path in durable_files.files_below(self.path_of(parent) if parent else self.objects):
            key = path.relative_to(self.objects).as_posix()
            if key.startswith(prefix) and (found := self.describe(key)):
                yield found

    def clear(self, *, before: datetime) -> int:
        """Remove what unfinished writes have left behind; return how many they were."""
        return durable_files.clear(self.incoming.iterdir(), before=before.timestamp())
