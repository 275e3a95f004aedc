"""The files to be registered: which they are, and their digests."""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.client.selection import Selection
from modelkeep.client.source_tree import SourceTree
from modelkeep.domain.artifact_paths import check_distinct_paths, check_new_artifact_path
from modelkeep.domain.uploads import plan_parts

_BLOCK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file that will be the artifact `path`, at a path without links.

    `mtime_ns` is its time of modification, in nanoseconds since 1970. It is `executable` if it is so for its owner.
    """

    path: str
    source: Path
    size: int
    mtime_ns: int
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTree:
    """What is to be registered, sorted by path: files, and folders with nothing in them."""

    files: list[LocalFile]
    empty_folders: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile:
    """A file, its SHA-256, and those of its parts of `part_size` bytes, in order."""

    file: LocalFile
    sha256: str
    part_size: int
    parts: Sequence[str]


def find_tree(
    source: Path,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    follow_links: bool = False,
    remark: Callable[[str], None] = lambda _: None,
) -> LocalTree:
    """List a file, or what `Selection` takes of a folder: files, and folders with nothing in them.

    `remark` is called with sentences about what was left out. Raises `InvalidRequestError` for what is no pattern, and
    `LocalFileError` for what is missing, empty, neither file nor folder, or a link that is not followed.
    """
    if not _is_folder(source):
        _check_regular(source, source.stat())
        return LocalTree(files=[_local_file(source.name, source, source.resolve())], empty_folders=[])
    selection = Selection(source, include=include, exclude=exclude)
    tree = SourceTree(source, selection, follow_links=follow_links)
    for sentence in selection.remarks():
        remark(sentence)
    if not tree.files:
        condition = " that match the patterns" if selection.is_limited else ""
        raise LocalFileError(source, f"has no files{condition}; a version has at least one.")
    files = [_local_file(name, source / name, file) for name, file in tree.files.items()]
    folders = [_path(name, source / name) for name in tree.empty_folders]
    try:
        check_distinct_paths([*tree.files, *tree.empty_folders])
    except ValueError as error:
        raise LocalFileError(source, f"cannot be registered: {error}.") from None
    return LocalTree(files=sorted(files, key=lambda file: file.path), empty_folders=sorted(folders))


def hash_file(
    file: LocalFile, hash_executor: Executor, report: Callable[[int], None], *, part_size: int | None = None
) -> HashedFile:
    """Read a file once, for its digest and those of its parts; `hash_executor` computes the latter in parallel.

    Without `part_size` the parts are those that a registry plans for a file of this size. `report` is called with the
    number of bytes of each block.

    Raises `LocalFileError`, also for a file that has another number of bytes than its size (of FUSE, in `/proc`), and
    `ChangedFileError` if the file has changed since it was listed.
    """
    part_size = part_size or plan_parts("", max(1, file.size)).part_size
    try:
        with opened(file) as content:
            sha256, parts = _digests(content, part_size, hash_executor if file.size > part_size else None, report)
            counted = content.tell() + len(content.read(1))
    except OSError as error:
        raise LocalFileError(file.source, f"cannot be read: {error.strerror}.") from error
    if counted != file.size:
        kind = "more" if counted > file.size else "fewer"
        advice = "Copy it to another disk, and register that."
        raise LocalFileError(file.source, f"gives {kind} bytes than the {file.size} of its size. {advice}")
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


@contextmanager
def opened(file: LocalFile) -> Iterator[FileIO]:
    """Open a file, and hold it to be the one that was listed, before and after the block.

    Raises `LocalFileError`, and `ChangedFileError` if the file has changed, or another is where it was.
    """
    try:
        descriptor = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if file.source.is_symlink():
            raise ChangedFileError(file.path) from error
        raise LocalFileError(file.source, f"cannot be read: {error.strerror}.") from error
    with FileIO(descriptor) as content:
        if not _is_as_listed(file, os.fstat(descriptor)):
            raise ChangedFileError(file.path)
        yield content
    if not is_unchanged(file):
        raise ChangedFileError(file.path)


def is_unchanged(file: LocalFile) -> bool:
    """Whether the file is where it was listed, by no link, with the size and the modification time of then."""
    try:
        return _is_as_listed(file, file.source.lstat()) and os.path.realpath(file.source) == str(file.source)
    except OSError:
        return False


def _is_as_listed(file: LocalFile, status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _is_folder(source: Path) -> bool:
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise LocalFileError(source, "does not exist. Give the path of a file or a folder.") from None
    except OSError as error:
        raise LocalFileError(source, f"cannot be read: {error.strerror}.") from error


def _local_file(name: str, written: Path, source: Path) -> LocalFile:
    """The file at `source`, which has no link in it, under a name; `written` is where the caller sees it."""
    path = _path(name, written)
    try:
        status = source.lstat()
    except OSError as error:
        raise LocalFileError(written, f"cannot be read: {error.strerror}.") from error
    _check_regular(written, status)
    executable = bool(status.st_mode & stat.S_IXUSR)
    return LocalFile(path=path, source=source, size=status.st_size, mtime_ns=status.st_mtime_ns, executable=executable)


def _check_regular(written: Path, status: os.stat_result) -> None:
    """Raise `LocalFileError` for a pipe, a socket or a device."""
    if not stat.S_ISREG(status.st_mode):
        raise LocalFileError(written, "is no regular file. Only files with bytes of their own can be registered.")


def _path(name: str, written: Path) -> str:
    try:
        return check_new_artifact_path(unicodedata.normalize("NFC", name))
    except ValueError as error:
        raise LocalFileError(written, f"cannot be registered: {error}. Rename or --exclude it.") from None
