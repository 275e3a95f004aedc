"""The files to be registered: which they are, and their digests."""

import hashlib
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path
from typing import Final

from modelkeep.client.disk_layout import MARKER_FILE
from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.domain.artifact_paths import check_distinct_paths, check_new_artifact_path
from modelkeep.domain.uploads import plan_parts

_BLOCK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file that will be the artifact `path`; `mtime_ns` is its time of modification, in nanoseconds since 1970."""

    path: str
    source: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile:
    """A file, its SHA-256, and those of its parts of `part_size` bytes, in order."""

    file: LocalFile
    sha256: str
    part_size: int
    parts: Sequence[str]


def find_files(source: Path, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[LocalFile]:
    """List a file, or the files below a folder that match `include` (if given) and not `exclude`, by artifact path.

    A pattern with a slash matches the path within the folder, one without matches the name; `*` matches slashes too.
    Raises `LocalFileError` for what is missing, empty, a symbolic link inside the folder, or neither file nor folder.
    """
    if not _is_folder(source):
        return [_local_file(source.name, source.resolve())]

    def wanted(path: str) -> bool:
        return path != MARKER_FILE and (not include or _matches(path, include)) and not _matches(path, exclude)

    names = {name: entry for name, entry in _walk(source, source) if wanted(name)}
    found = [_local_file(name, entry) for name, entry in names.items()]
    if not found:
        condition = " that match the patterns" if include or exclude else ""
        raise LocalFileError(source, f"has no files{condition}; a version has at least one.")
    try:
        check_distinct_paths(names)
    except ValueError as error:
        raise LocalFileError(source, f"cannot be registered: {error}.") from None
    return sorted(found, key=lambda file: file.path)


def hash_file(
    file: LocalFile, hash_executor: Executor, report: Callable[[int], None], *, part_size: int | None = None
) -> HashedFile:
    """Read a file once, for its digest and those of its parts; `hash_executor` computes the latter in parallel.

    Without `part_size` the parts are those that a registry plans for a file of this size. `report` is called with the
    number of bytes of each block.

    Raises `LocalFileError`, and `ChangedFileError` if the file has changed since it was listed.
    """
    part_size = part_size or plan_parts("", max(1, file.size)).part_size
    try:
        with file.source.open("rb", buffering=0) as content:
            sha256, parts = _digests(content, part_size, hash_executor if file.size > part_size else None, report)
    except OSError as error:
        raise LocalFileError(file.source, f"cannot be read: {error.strerror}.") from error
    if not is_unchanged(file):
        raise ChangedFileError(file.path)
    return HashedFile(file=file, sha256=sha256, part_size=part_size, parts=parts or [sha256])


def _digests(
    content: FileIO, part_size: int, hash_executor: Executor | None, report: Callable[[int], None]
) -> tuple[str, list[str]]:
    """The digest of a file, and those of its parts if there is an executor for them."""
    whole, part = hashlib.sha256(), hashlib.sha256()
    parts: list[str] = []
    left = part_size
    while block := content.read(min(_BLOCK, left)):
        other = hash_executor.submit(part.update, block) if hash_executor else None
        whole.update(block)
        left -= len(block)
        if other:
            other.result()
        if hash_executor and left == 0:
            parts.append(part.hexdigest())
            part, left = hashlib.sha256(), part_size
        report(len(block))
    if hash_executor and left < part_size:
        parts.append(part.hexdigest())
    return whole.hexdigest(), parts


def is_unchanged(file: LocalFile) -> bool:
    """Whether the file still has the size and the modification time with which it was listed."""
    try:
        status = file.source.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _is_folder(source: Path) -> bool:
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise LocalFileError(source, "does not exist. Give the path of a file or a folder.") from None
    except OSError as error:
        raise LocalFileError(source, f"cannot be read: {error.strerror}.") from error


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise LocalFileError(folder, f"cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry, root)
        else:
            yield entry.relative_to(root).as_posix(), entry


def _local_file(name: str, source: Path) -> LocalFile:
    if source.is_symlink():
        raise LocalFileError(source, "is a symbolic link. Put the file itself there, or --exclude it.")
    try:
        path = check_new_artifact_path(unicodedata.normalize("NFC", name))
        status = source.stat()
    except ValueError as error:
        raise LocalFileError(source, f"cannot be registered: {error}. Rename or --exclude it.") from None
    except OSError as error:
        raise LocalFileError(source, f"cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise LocalFileError(source, "is no regular file. Only files with bytes of their own can be registered.")
    return LocalFile(path=path, source=source, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)
