"""Where a download appears: a file, or a folder as a whole, in one step. `disk_layout` describes the paths."""

import json
import os
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from modelkeep.client.disk_layout import FILE_MARKER_PREFIX, MARKER_FILE, is_disk_full
from modelkeep.client.errors import LocalFileError
from modelkeep.client.file_marker import FileMarker
from modelkeep.kit import durable_files
from modelkeep.kit.digests import sha256_of_file
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse


class DownloadTarget:
    """The place below `dest` of artifacts and folders of a version that were selected.

    Methods block, and may raise `OSError`.
    """

    def __init__(
        self,
        dest: Path,
        version: DownloadResponse,
        selected: Sequence[DownloadArtifactResponse],
        empty_folders: Sequence[str] = (),
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
        self._marker = FileMarker(dest, version.model)

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
        sha256 = sha256_of_file(self.path)
        return None if sha256 == self._marker.sha256_of(self.path.name) else sha256

    def refuse(self) -> NoReturn:
        """Raise the `LocalFileError` for what no download put at `path`."""
        raise _not_ours(self.path)

    def is_begun(self) -> bool:
        """Whether a download is under way or was interrupted."""
        return self.partial.exists() or self.lock.exists()

    def is_up_to_date(self) -> bool:
        """Whether `path` holds exactly what was selected: artifacts by size, SHA-256 and mode, and empty folders."""
        selected = {artifact.path for artifact in self._selected} | {f"{folder}/" for folder in self._empty_folders}
        with suppress(FileNotFoundError):
            same_paths = self._is_file or self._paths() - {MARKER_FILE} == selected - {MARKER_FILE}
            return same_paths and all(self._is_intact(artifact) for artifact in self._selected)
        return False

    def publish(self, files: Mapping[str, Path]) -> None:
        """Make the files appear, all in one step, and flush them to disk.

        `files` are in `partial`, by artifact path. They stay there until then: interrupted, nothing is fetched again.
        """
        for artifact in self._selected:
            if artifact.executable:
                _make_executable(files[artifact.path])
        if self._is_file:
            (file,) = files.values()
            sha256 = self._selected[0].sha256 or sha256_of_file(file)
            file.replace(self.path)
            self._marker.note(self.path.name, sha256, staging=self.partial)
        else:
            tree, replaced = self.partial / "tree", self.partial / "replaced"
            for leftover in (tree, replaced):
                shutil.rmtree(leftover, ignore_errors=True)
            for path, file in files.items():
                target = tree / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(file, target)
            for folder in self._empty_folders:
                (tree / folder).mkdir(parents=True)
            marker = {"model": self._version.model, "version": self._version.version, "commit": self._version.commit}
            if MARKER_FILE not in files:
                (tree / MARKER_FILE).write_text(f"{json.dumps(marker)}\n")
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

    def _is_replaceable(self, *, force: bool) -> bool:
        if self.path.is_symlink() or not self.path.is_dir():
            return False
        if force or not any(self.path.iterdir()):
            return True
        try:
            return bool(json.loads((self.path / MARKER_FILE).read_text())["model"] == self._version.model)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _paths(self) -> set[str]:
        """Of files and links, and of folders with nothing in them, which end in a slash."""
        found: set[str] = set()
        for entry in self.path.rglob("*"):
            is_folder = entry.is_dir() and not entry.is_symlink()
            if not (is_folder and any(entry.iterdir())):
                path = unicodedata.normalize("NFC", entry.relative_to(self.path).as_posix())
                found.add(f"{path}/" if is_folder else path)
        return found

    def _is_intact(self, artifact: DownloadArtifactResponse) -> bool:
        file = self.path if self._is_file else self.path / artifact.path
        with suppress(OSError):
            status = file.lstat()
            has_mode = status.st_mode & stat.S_IXUSR or not artifact.executable
            if stat.S_ISREG(status.st_mode) and has_mode and status.st_size == artifact.size:
                return artifact.sha256 is None or sha256_of_file(file) == artifact.sha256
        return False


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
    if file.stat().st_nlink > 1:
        own = file.with_name(f"{file.name}.own")
        shutil.copyfile(file, own)
        durable_files.sync(own)
        own.replace(file)
    mode = file.stat().st_mode
    with suppress(PermissionError):
        file.chmod(mode | (mode & 0o444) >> 2)


def _link(file: Path, target: Path) -> None:
    """Give a file another name, or move it where the file system has no links."""
    try:
        target.hardlink_to(file)
    except OSError:
        file.replace(target)
