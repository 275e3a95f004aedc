"""The data folder of the local store, and the steps that change it. All methods block: call them in a thread.

secret                                  the key that signs URLs
objects/<path of key>                   the bytes as uploaded; `object_paths.py` says which path a key has
checksums/<path of key>                 their size and SHA-256 as JSON, durable before the object exists
incoming/<uuid>                         a file being written, or a folder being removed
multiparts/<id>/key                     the key of an open multipart object
multiparts/<id>/<number>-<sha256>       its parts
locks/<two hex digits>                  held for the last step of a write; many keys share one
locks/tree                              held to remove empty folders; shared by writers that need a folder

Whatever is created, the folder itself included, is its owner's alone: folders have mode 0700, files 0600.

An object exists if, and only if, there is a file at its path. A process may be killed between any two steps: it
leaves a whole object, or files that are never read and that `clear` removes.
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
from modelkeep.kit.text import first_invisible
from modelkeep.storage.local import object_paths
from modelkeep.storage.objects import ObjectGoneError, StoredObject

_MAX_KEY_BYTES: Final = 1024
_MAX_SEGMENT_BYTES: Final = 255
_ABSENT = (FileNotFoundError, NotADirectoryError)


def check_key(key: str) -> str:
    """The key itself. Raises `ValueError` unless it is a path inside the folder as written."""
    if first_invisible(key) is not None or "\\" in key or len(key.encode()) > _MAX_KEY_BYTES:
        raise ValueError("a key has at most 1,024 bytes of visible characters, and no backslash")
    if any(segment in {"", ".", ".."} or len(segment.encode()) > _MAX_SEGMENT_BYTES for segment in key.split("/")):
        raise ValueError("a key has no empty, '.' or '..' segment, and none of more than 255 bytes")
    return key


class Folder:
    """Objects as files below `root`, which is created if it does not exist."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.objects = self.root / "objects"
        self.checksums = self.root / "checksums"
        self.incoming = self.root / "incoming"
        self.multiparts = self.root / "multiparts"
        self._locks = self.root / "locks"
        self._tree = self._locks / "tree"
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.objects, self.checksums, self.incoming, self.multiparts, self._locks):
            durable_files.make_private_folder(folder)
        durable_files.sync_with_parents(self.root, root=self.root.parent)
        self._move_older()

    def _move_older(self) -> None:
        """Move what an earlier release has put elsewhere; one process does, the others wait."""
        roots = (self.checksums, self.objects)
        if any(map(object_paths.has_older, roots)):
            with locked(self._tree):
                for root in roots:
                    object_paths.move_older(root)

    def path_of(self, key: str) -> Path:
        """The path of an object, whether it exists or not. Raises `ValueError` for a key outside the folder."""
        return self.objects / object_paths.path_of(check_key(key))

    def key_at(self, path: str) -> str:
        """The key of the object at a path relative to `objects`, whether it exists or not. Raises `ValueError`."""
        return check_key(object_paths.key_at(path))

    def _checksum_path(self, key: str) -> Path:
        return self.checksums / object_paths.path_of(key)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """A lock that excludes every other writer of a key or a multipart object."""
        return locked(self._locks / hashlib.sha256(name.encode()).hexdigest()[:2])

    def is_taken(self, key: str) -> bool:
        """Whether there is a file or folder at the path of the object."""
        return self.path_of(key).exists()

    def publish(self, key: str, staged: StagedFile, *, multipart_id: str | None = None) -> None:
        """Make a finished file the object. Raises `ObjectExistsError`; then nothing was changed."""
        with self.lock(key):
            if self.is_taken(key):
                raise ObjectExistsError
            self._write_checksum(key, {"size": staged.size, "sha256": staged.sha256, "multipart_id": multipart_id})
            self._move(staged.path, self.path_of(key))

    def write(self, target: Path, content: bytes) -> None:
        """Write a small file, durably and atomically."""
        with durable_files.staged_file(self.incoming) as staged:
            staged.write(content)
            staged.finish()
            self._move(staged.path, target)

    def _write_checksum(self, key: str, checksum: Mapping[str, Any]) -> None:
        self.write(self._checksum_path(key), json.dumps(checksum).encode())

    def _move(self, source: Path, target: Path) -> None:
        try:
            with locked(self._tree, shared=True):
                durable_files.make_private_folder(target.parent)
                source.replace(target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ObjectExistsError from None
        durable_files.sync_with_parents(target.parent, root=self.root)

    def stat(self, key: str) -> StoredObject | None:
        """The size and digest of an object; `None` if there is none."""
        try:
            status = self.path_of(key).stat()
        except _ABSENT:
            return None
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        if not S_ISREG(status.st_mode):
            return None
        sha256 = self._digest(key, status.st_size)
        return StoredObject(
            key=key, size=status.st_size, sha256=sha256, parts_sha256=None, version_id=None, modified_at=modified_at
        )

    def origin(self, key: str) -> str | None:
        """The id of the multipart object that the object was created from, if any."""
        origin = self._checksum(key).get("multipart_id") if self.is_taken(key) else None
        return None if origin is None else str(origin)

    def _digest(self, key: str, size: int) -> Digest | None:
        checksum = self._checksum(key)
        return Digest(checksum["sha256"]) if checksum.get("size") == size else None

    def _checksum(self, key: str) -> Mapping[str, Any]:
        try:
            checksum: Mapping[str, Any] = json.loads(self._checksum_path(key).read_bytes())
        except _ABSENT:
            return {}
        return checksum

    def remove(self, key: str) -> None:
        """Remove an object, then its checksum. Does nothing if there is none."""
        with self.lock(key):
            for path, root in ((self.path_of(key), self.objects), (self._checksum_path(key), self.checksums)):
                with suppress(*_ABSENT, IsADirectoryError):
                    path.unlink()
                    durable_files.sync_with_parents(path.parent, root=self.root)
                with locked(self._tree):
                    durable_files.prune(path.parent, root=root)

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading; it stays readable if it is removed meanwhile. Raises `ObjectGoneError`."""
        try:
            return self.path_of(key).open("rb")
        except (*_ABSENT, IsADirectoryError):
            raise ObjectGoneError from None

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key starts with `prefix`."""
        parent, _, _ = prefix.rpartition("/")
        for path in durable_files.files_below(self.path_of(parent) if parent else self.objects):
            key = object_paths.key_at(path.relative_to(self.objects).as_posix())
            if key.startswith(prefix) and (found := self.stat(key)):
                yield found

    def clear(self, *, before: datetime) -> int:
        """Remove the files of writes that were interrupted before a moment. Returns how many it removed."""
        return durable_files.clear(self.incoming.iterdir(), before=before.timestamp())
