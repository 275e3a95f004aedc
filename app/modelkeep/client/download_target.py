"""Where a download appears: a file, or a folder as a whole, put there at once.

<dest>/model.pt                     the only file of a version
<dest>/<model>/…                    the files of any other version, and `.modelkeep.json`: whose they are
<dest>/.<model>.partial/            what has arrived so far; gone when all is done
<dest>/.<model>.lock                held while one process downloads; another waits

All below `dest`, because that may be a mount point: nothing can be renamed over it or into it from outside.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelkeep.client.errors import LocalFileError
from modelkeep.client.local_files import DISK_FULL_ERRNOS, MARKER_FILE
from modelkeep.kit import durable_files
from modelkeep.kit.digests import sha256_of_file
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse


class DownloadTarget:
    """What `chosen` of a version will be, or is, below `dest`. Methods block, and may raise `OSError`."""

    def __init__(self, dest: Path, version: DownloadResponse, chosen: Sequence[DownloadArtifactResponse]) -> None:
        self._version = version
        self._chosen = chosen
        only = version.artifacts[0].path
        self._is_file = len(version.artifacts) == 1 and "/" not in only and not only.startswith(f".{version.model}.")
        self.dest = dest
        self.path = dest / (only if self._is_file else version.model)
        self.partial = dest / f".{version.model}.partial"
        self.lock = dest / f".{version.model}.lock"

    def check(self) -> None:
        """Raise `LocalFileError` if something lies where the download is to appear that no download put there."""
        if self.dest.exists() and not self.dest.is_dir():
            raise LocalFileError(self.dest, "is a file. Give a folder as the destination.")
        if self._is_file and self.path.is_dir():
            raise LocalFileError(self.path, "is a folder, where a file is to be put. Choose another destination.")
        if not self._is_file and os.path.lexists(self.path) and not self._is_ours():
            raise LocalFileError(self.path, "was not put there by a download. Move it away or choose another folder.")

    def is_begun(self) -> bool:
        """Whether a download is under way, or was cut short."""
        return self.partial.exists() or self.lock.exists()

    def holds(self) -> bool:
        """Whether what is there is exactly this version, by size and SHA-256 of every file."""
        chosen = {artifact.path for artifact in self._chosen}
        with suppress(FileNotFoundError):
            there = self._is_file or self._present() - {MARKER_FILE} == chosen - {MARKER_FILE}
            return there and all(self._is_there(artifact) for artifact in self._chosen)
        return False

    def put(self, files: Mapping[str, Path]) -> None:
        """Make the files appear, all at once; they lie in `partial`, by artifact path, and stay there until then."""
        if self._is_file:
            (file,) = files.values()
            file.replace(self.path)
        else:
            tree, replaced = self.partial / "tree", self.partial / "replaced"
            for left_behind in (tree, replaced):
                shutil.rmtree(left_behind, ignore_errors=True)
            for path, file in files.items():
                target = tree / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(file, target)
            mark = {"model": self._version.model, "version": self._version.version, "commit": self._version.commit}
            if MARKER_FILE not in files:
                (tree / MARKER_FILE).write_text(f"{json.dumps(mark)}\n")
            durable_files.sync(tree / MARKER_FILE)
            durable_files.sync_folders(tree)
            durable_files.replace_tree(tree, self.path, aside=replaced)
        durable_files.sync(self.dest)
        self.clear()

    @contextmanager
    def cleared_when_full(self) -> Iterator[None]:
        """Leave nothing on a disk that fills up meanwhile."""
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                self.clear()
            raise

    def clear(self) -> None:
        """Remove what has arrived so far."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def _is_ours(self) -> bool:
        if self.path.is_symlink() or not self.path.is_dir():
            return False
        if not any(self.path.iterdir()):
            return True
        try:
            return bool(json.loads((self.path / MARKER_FILE).read_text())["model"] == self._version.model)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _present(self) -> set[str]:
        found = (entry for entry in self.path.rglob("*") if not entry.is_dir() or entry.is_symlink())
        return {entry.relative_to(self.path).as_posix() for entry in found}

    def _is_there(self, artifact: DownloadArtifactResponse) -> bool:
        file = self.path if self._is_file else self.path / artifact.path
        with suppress(OSError):
            if file.is_file() and not file.is_symlink() and file.stat().st_size == artifact.size:
                return artifact.sha256 is None or sha256_of_file(file) == artifact.sha256
        return False


def _link(file: Path, target: Path) -> None:
    """Give a file another name; where the file system cannot, only that one."""
    try:
        target.hardlink_to(file)
    except OSError:
        file.replace(target)
