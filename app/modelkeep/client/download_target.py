"""Where a download appears: a file, or a folder as a whole, in one step. `disk_layout` describes the paths."""

import os
import shutil
import stat
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from modelkeep.client.disk_layout import FILE_MARKER_PREFIX, MARKER_FILE, is_disk_full
from modelkeep.client.errors import LocalFileError
from modelkeep.client.file_marker import FileMarker
from modelkeep.client.marks import Mark, Marks, read_marker, to_text
from modelkeep.client.present_files import PresentFiles, is_still
from modelkeep.kit import durable_files
from modelkeep.kit.digests import sha256_of_file
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse

_SETTLED_NS: Final = 2_000_000_000
"""A file that was last changed so long before it was read has not changed since with the same time: FAT's is 2 s."""


class DownloadTarget:
    """The place below `dest` of artifacts and folders of a version that were selected.

    With `verify`, no mark spares reading a file. Methods block, and may raise `OSError`.
    """

    def __init__(
        self,
        dest: Path,
        version: DownloadResponse,
        selected: Sequence[DownloadArtifactResponse],
        empty_folders: Sequence[str] = (),
        *,
        verify: bool = False,
    ) -> None:
        self._version = version
        self._selected = selected
        self._empty_folders = empty_folders
        only = version.artifacts[0].path
        reserved = (f".{version.model}.", FILE_MARKER_PREFIX)
        is_alone = len(version.artifacts) == 1 and not version.empty_folders
        self._is_file = is_alone and "/" not in only and not only.startswith(reserved)
        self.dest = dest
        self.path = dest / (only if self._is_file else version.model)
        self.partial = dest / f".{version.model}.partial"
        self.lock = dest / f".{version.model}.lock"
        self._file_marker = FileMarker(dest, version.model)
        self._marker = self._file_marker.path if self._is_file else self.path / MARKER_FILE
        self._has_marks = self._is_file or all(artifact.path != MARKER_FILE for artifact in version.artifacts)
        self._verify = verify
        self._found: dict[str, Mark] = {}
        self.has_read = False

    def check(self, *, force: bool = False) -> None:
        """Raise `LocalFileError` if what is at `path` can never be replaced, or is a folder of something else.

        By `force` a folder of anything is replaced by the version's.
        """
        if self.dest.exists() and not self.dest.is_dir():
            raise LocalFileError(self.dest, "is a file. Give a folder as the destination.")
        if self._is_file and self.path.is_dir():
            raise LocalFileError(self.path, "is a folder, where a file is to be put. Choose another destination.")
        if not self._is_file and os.path.lexists(self.path) and not self._is_replaceable(force=force):
            raise _not_ours(self.path)

    def foreign_sha256(self) -> str | None:
        """The digest of the file at `path` if no download is known to have put these bytes there, else `None`.

        That of a link is the empty string.
        """
        if not self._is_file or not os.path.lexists(self.path):
            return None
        if self.path.is_symlink() or not self.path.is_file():
            return ""
        mark = self._marks().of_file(self.path.name, self.path.lstat())
        sha256 = mark.sha256 if mark else sha256_of_file(self.path)
        return None if sha256 == self._file_marker.sha256_of(self.path.name) else sha256

    def refuse(self) -> NoReturn:
        """Raise the `LocalFileError` for what no download put at `path`."""
        raise _not_ours(self.path)

    def is_begun(self) -> bool:
        """Whether a download is under way or was interrupted."""
        return self.partial.exists() or self.lock.exists()

    def is_up_to_date(self) -> bool:
        """Whether `path` holds exactly what was selected: artifacts by size, SHA-256 and mode, and empty folders.

        A file that bears no mark is read; `has_read` then says so.
        """
        marks, self._found, self.has_read = self._marks(), {}, False
        selected = {artifact.path for artifact in self._selected} | {f"{folder}/" for folder in self._empty_folders}
        with suppress(FileNotFoundError):
            same_paths = self._is_file or self._paths() - {MARKER_FILE} == selected - {MARKER_FILE}
            return same_paths and all(self._is_intact(artifact, marks) for artifact in self._selected)
        return False

    def remember(self) -> None:
        """Mark the files that the last check found intact, as far as they have not changed since. Hold the lock."""
        marker = read_marker(self._marker)
        if not (self.has_read and self._has_marks and marker):
            return
        marks = {path: mark for path, mark in self._found.items() if mark.fits(self._place(path).lstat())}
        self.partial.mkdir(exist_ok=True)
        staged = self.partial / MARKER_FILE
        staged.write_text(to_text(marker, marks))
        durable_files.sync(staged)
        staged.replace(self._marker)
        self.clear()

    def present_files(self) -> PresentFiles:
        """What lies at `path` already."""
        return PresentFiles(self.path, self._marks())

    def publish(self, files: Mapping[str, Path], linked: Mapping[str, Mark]) -> None:
        """Make the files appear, all in one step, and flush them to disk.

        `files` are in `partial`, by artifact path. They stay there until then: interrupted, nothing is fetched again.
        Those that are `linked` are at `path` too; raises `LocalFileError` if one was changed there meanwhile.
        """
        for artifact in self._selected:
            if artifact.executable:
                _make_executable(files[artifact.path])
        if self._is_file:
            (file,) = files.values()
            sha256 = self._selected[0].sha256 or sha256_of_file(file)
            file.replace(self.path)
            self._file_marker.note(self.path.name, Mark.of(self.path.lstat(), sha256), staging=self.partial)
        else:
            tree, replaced = self.partial / "tree", self.partial / "replaced"
            for leftover in (tree, replaced):
                shutil.rmtree(leftover, ignore_errors=True)
            for path, file in files.items():
                target = tree / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(file, target)
            for path, mark in linked.items():
                if not is_still(tree / path, mark):
                    raise LocalFileError(self.path / path, "was changed during the download. Repeat it.")
            for folder in self._empty_folders:
                (tree / folder).mkdir(parents=True)
            marker = {"model": self._version.model, "version": self._version.version, "commit": self._version.commit}
            if MARKER_FILE not in files:
                (tree / MARKER_FILE).write_text(to_text(marker, self._marks_of(tree)))
            durable_files.sync(tree / MARKER_FILE)
            durable_files.sync_folders(tree)
            durable_files.replace_tree(tree, self.path, aside=replaced)
        durable_files.sync(self.dest)
        self.clear()

    @contextmanager
    def cleared_when_full(self) -> Iterator[None]:
        """Remove what has arrived if the disk becomes full in the block."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                self.clear()
            raise

    def clear(self) -> None:
        """Remove what has arrived."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def _marks(self) -> Marks:
        return Marks.none() if self._verify or not self._has_marks else Marks.of_marker(self._marker)

    def _marks_of(self, tree: Path) -> dict[str, Mark]:
        """Of the files that were verified on their way into `tree`."""
        artifacts = [artifact for artifact in self._selected if artifact.sha256]
        return {each.path: Mark.of((tree / each.path).lstat(), each.sha256 or "") for each in artifacts}

    def _place(self, path: str) -> Path:
        return self.path if self._is_file else self.path / path

    def _is_replaceable(self, *, force: bool) -> bool:
        if self.path.is_symlink() or not self.path.is_dir():
            return False
        if force or not any(self.path.iterdir()):
            return True
        return bool(read_marker(self._marker).get("model") == self._version.model)

    def _paths(self) -> set[str]:
        """Of files and links, and of folders with nothing in them, which end in a slash."""
        found: set[str] = set()
        for entry in self.path.rglob("*"):
            is_folder = entry.is_dir() and not entry.is_symlink()
            if not (is_folder and any(entry.iterdir())):
                path = unicodedata.normalize("NFC", entry.relative_to(self.path).as_posix())
                found.add(f"{path}/" if is_folder else path)
        return found

    def _is_intact(self, artifact: DownloadArtifactResponse, marks: Marks) -> bool:
        with suppress(OSError):
            status = self._place(artifact.path).lstat()
            has_mode = status.st_mode & stat.S_IXUSR or not artifact.executable
            if stat.S_ISREG(status.st_mode) and has_mode and status.st_size == artifact.size:
                return artifact.sha256 is None or self._digest(artifact.path, status, marks) == artifact.sha256
        return False

    def _digest(self, path: str, status: os.stat_result, marks: Marks) -> str:
        """By its mark, or by reading it."""
        if mark := marks.of_file(path, status):
            self._found[path] = mark
            return mark.sha256
        is_settled = status.st_mtime_ns < time.time_ns() - _SETTLED_NS
        sha256 = sha256_of_file(self._place(path))
        self.has_read = True
        if is_settled:
            self._found[path] = Mark.of(status, sha256)
        return sha256


def _not_ours(path: Path) -> LocalFileError:
    return LocalFileError(
        path,
        "was not put there by a download, or has changed since. Move it away, choose another folder, or replace it"
        " with --force (in Python force=True).",
    )


def _make_executable(file: Path) -> None:
    """Let those execute a file who may read it; one that a cache has too is copied before, as the cache's stays.

    A file system without modes refuses, and the file remains as it is.
    """
    if file.stat().st_mode == _executable_mode(file):
        return
    if file.stat().st_nlink > 1:
        own = file.with_name(f"{file.name}.own")
        shutil.copyfile(file, own)
        durable_files.sync(own)
        own.replace(file)
    with suppress(PermissionError):
        file.chmod(_executable_mode(file))


def _executable_mode(file: Path) -> int:
    mode = file.stat().st_mode
    return mode | (mode & 0o444) >> 2


def _link(file: Path, target: Path) -> None:
    """Give a file another name, or move it where the file system has no links."""
    try:
        target.hardlink_to(file)
    except OSError:
        file.replace(target)
