"""Multipart objects in the data folder (its layout is in `folder.py`). All of it blocks: call it in a thread."""

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
    """The multipart objects of a folder that are neither complete nor aborted."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        multipart_id = uuid4().hex
        self._folder.write(self._folder.multiparts / multipart_id / "key", check_key(key).encode())
        return multipart_id

    def check(self, key: str, multipart_id: str) -> Path:
        """Return where the parts lie. Raises `MultipartGoneError`."""
        home = self._folder.multiparts / multipart_id
        if not _ID.match(multipart_id) or _key_in(home) != key:
            raise MultipartGoneError
        return home

    def add(self, key: str, multipart_id: str, number: int, draft: StagedFile) -> None:
        """Make a finished draft the part of that number, instead of an earlier one. Raises `MultipartGoneError`."""
        with self._folder.lock(multipart_id):
            home = self.check(key, multipart_id)
            earlier = [path for path in _parts_in(home) if path.name.startswith(f"{number}-")]
            target = home / f"{number}-{draft.sha256}"
            os.utime(draft.path)
            draft.path.replace(target)
            durable_files.sync_with_parents(home, root=self._folder.root)
            for path in earlier:
                if path != target:
                    path.unlink()

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """Say which parts have arrived, by number. Raises `MultipartGoneError`."""
        with self._folder.lock(multipart_id):
            paths = sorted(_parts_in(self.check(key, multipart_id)), key=_changed_at)
            newest = {part.number: part for part in map(_describe, paths)}
        return [newest[number] for number in sorted(newest)]

    def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of these parts and drop the rest. Raises `MultipartGoneError` and `MultipartRefusedError`.

        Killed at any point, it can be repeated: the object notes of what it was made.
        """
        home = self.check(key, multipart_id)
        if self._folder.origin(key) != multipart_id:
            self._assemble(key, multipart_id, _chosen(home, parts))
        self._drop(home)

    def _assemble(self, key: str, multipart_id: str, paths: Sequence[Path]) -> None:
        with durable_files.staged_file(self._folder.incoming) as draft:
            for path in paths:
                _append(draft, path)
            draft.finish()
            self._commit(key, multipart_id, draft)

    def _commit(self, key: str, multipart_id: str, draft: StagedFile) -> None:
        try:
            self._folder.publish(key, draft, multipart_id=multipart_id)
        except ObjectExistsError:
            if self._folder.origin(key) != multipart_id:
                raise MultipartRefusedError from None

    def abort(self, key: str, multipart_id: str) -> None:
        """Drop a multipart object; nothing to drop is fine."""
        with suppress(MultipartGoneError):
            self._drop(self.check(key, multipart_id))

    def _drop(self, home: Path) -> None:
        discarded = self._folder.incoming / uuid4().hex
        with self._folder.lock(home.name), suppress(FileNotFoundError):
            home.replace(discarded)
            durable_files.sync_with_parents(home.parent, root=self._folder.root)
        durable_files.remove(discarded)

    def list_open(self, prefix: str) -> Iterator[OpenMultipart]:
        """Find every open multipart object whose key starts with `prefix`."""
        for home in self._folder.multiparts.iterdir():
            key = _key_in(home)
            if key is not None and key.startswith(prefix):
                begun_at = datetime.fromtimestamp(_changed_at(home / "key"), UTC)
                yield OpenMultipart(key=key, multipart_id=home.name, begun_at=begun_at)

    def clear(self, *, before: datetime) -> int:
        """Remove what a `begin` that was cut short has left behind; return how much it was."""
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


def _describe(path: Path) -> StoredPart:
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


def _append(draft: StagedFile, path: Path) -> None:
    try:
        draft.copy(path)
    except FileNotFoundError:
        raise MultipartRefusedError from None
