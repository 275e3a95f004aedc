"""Multipart objects in the data folder (`folder.py` has its layout). All methods block: call them in a thread."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelkeep.domain.errors import ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit import durable_files
from modelkeep.kit.durable_files import StagedFile
from modelkeep.storage.local.folder import Folder, check_key
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, OpenMultipart, StoredPart

_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_PART: Final = re.compile(r"([1-9][0-9]{0,9})-([0-9a-f]{64})\Z")


class Multiparts:
    """The open multipart objects of a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        multipart_id = uuid4().hex
        self._folder.write(self._folder.multiparts / multipart_id / "key", check_key(key).encode())
        return multipart_id

    def check(self, key: str, multipart_id: str) -> Path:
        """The folder of the parts. Raises `MultipartGoneError`."""
        home = self._folder.multiparts / multipart_id
        if not _ID.match(multipart_id) or _key_in(home) != key:
            raise MultipartGoneError
        return home

    def add(self, key: str, multipart_id: str, number: int, staged: StagedFile) -> None:
        """Make a finished file the part of that number, replacing an earlier one. Raises `MultipartGoneError`."""
        with self._folder.lock(multipart_id):
            home = self.check(key, multipart_id)
            earlier = [path for path in _parts_in(home) if path.name.startswith(f"{number}-")]
            target = home / f"{number}-{staged.sha256}"
            os.utime(staged.path)
            staged.path.replace(target)
            durable_files.sync_with_parents(home, root=self._folder.root)
            for path in earlier:
                if path != target:
                    path.unlink()

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that were uploaded, by number. Raises `MultipartGoneError`."""
        with self._folder.lock(multipart_id):
            paths = sorted(_parts_in(self.check(key, multipart_id)), key=_changed_at)
            newest = {part.number: part for part in map(_stored_part, paths)}
        return [newest[number] for number in sorted(newest)]

    def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Create the object from these parts and remove all parts.

        Raises `MultipartGoneError` and `MultipartRefusedError`. It can be repeated if it was killed at any point: the
        object's checksum file has the id of the multipart object.
        """
        home = self.check(key, multipart_id)
        if self._folder.origin(key) != multipart_id:
            self._assemble(key, multipart_id, _chosen(home, parts))
        self._remove(home)

    def _assemble(self, key: str, multipart_id: str, paths: Sequence[Path]) -> None:
        with durable_files.staged_file(self._folder.incoming) as staged:
            for path in paths:
                _append(staged, path)
            staged.finish()
            self._publish(key, multipart_id, staged)

    def _publish(self, key: str, multipart_id: str, staged: StagedFile) -> None:
        try:
            self._folder.publish(key, staged, multipart_id=multipart_id)
        except ObjectExistsError:
            if self._folder.origin(key) != multipart_id:
                raise MultipartRefusedError from None

    def abort(self, key: str, multipart_id: str) -> None:
        """Remove a multipart object and its parts. Does nothing if there is none."""
        with suppress(MultipartGoneError):
            self._remove(self.check(key, multipart_id))

    def _remove(self, home: Path) -> None:
        discarded = self._folder.incoming / uuid4().hex
        with self._folder.lock(home.name), suppress(FileNotFoundError):
            home.replace(discarded)
            durable_files.sync_with_parents(home.parent, root=self._folder.root)
        durable_files.remove(discarded)

    def list_open(self, prefix: str) -> Iterator[OpenMultipart]:
        """Every open multipart object whose key starts with `prefix`."""
        for home in self._folder.multiparts.iterdir():
            key = _key_in(home)
            if key is not None and key.startswith(prefix):
                begun_at = datetime.fromtimestamp(_changed_at(home / "key"), UTC)
                yield OpenMultipart(key=key, multipart_id=home.name, begun_at=begun_at)

    def clear(self, *, before: datetime) -> int:
        """Remove the folders that an interrupted `begin` has left before a moment. Returns how many it removed."""
        homes = [home for home in self._folder.multiparts.iterdir() if _key_in(home) is None]
        return durable_files.clear(homes, before=before.timestamp())


def _key_in(home: Path) -> str | None:
    try:
        return (home / "key").read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _parts_in(home: Path) -> Iterator[Path]:
    return (path for path in home.glob("*-*") if _PART.match(path.name))


def _stored_part(path: Path) -> StoredPart:
    number, _, sha256 = path.name.partition("-")
    return StoredPart(number=int(number), size=path.stat().st_size, sha256=Digest(sha256), etag=f'"{sha256}"')


def _chosen(home: Path, parts: Sequence[StoredPart]) -> Sequence[Path]:
    numbers = [part.number for part in parts]
    if not numbers or numbers != sorted(set(numbers)):
        raise MultipartRefusedError
    return [_path_of(home, part) for part in parts]


def _path_of(home: Path, part: StoredPart) -> Path:
    path = home / f"{part.number}-{part.sha256}"
    if not path.exists():
        raise MultipartRefusedError
    return path


def _append(staged: StagedFile, path: Path) -> None:
    try:
        staged.copy(path)
    except FileNotFoundError:
        raise MultipartRefusedError from None
