"""Files that lie at the destination already, so that what two versions share is not fetched."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modelkeep.client.marks import Mark, Marks
from modelkeep.kit.digests import sha256_of_file
from modelkeep.kit.durable_files import copy_bytes
from modelkeep.kit.file_locks import may_be_written
from modelkeep.schemas.downloads import DownloadArtifactResponse


class PresentFiles:
    """The regular files of a folder, or one file, found by size and SHA-256. Methods block."""

    def __init__(self, place: Path, marks: Marks) -> None:
        self._place = place
        self._by_size: dict[int, list[Path]] = {}
        self._marked: dict[Path, Mark] = {}
        self._digests: dict[Path, str] = {}
        self._linked: set[Path] = set()
        for file, status in _regular_files(place):
            self._by_size.setdefault(status.st_size, []).append(file)
            if mark := marks.of_file(file.relative_to(place).as_posix(), status):
                self._digests[file] = mark.sha256
                if status.st_nlink == 1:
                    self._marked[file] = mark

    def link(self, artifact: DownloadArtifactResponse, target: Path) -> Mark | None:
        """Give a marked file with an artifact's digest the name `target` too, and return its mark.

        Only a file that has no other name, is executable as the artifact is, and is open for writing nowhere: what
        holds the old version must not write into the new one. Each is linked once.
        """
        for file in self._candidates(artifact):
            mark = self._marked.get(file)
            if mark and mark.sha256 == artifact.sha256 and file not in self._linked:
                with suppress(OSError):
                    target.unlink(missing_ok=True)
                    target.hardlink_to(file)
                    if is_still(target, mark) and _is_executable(target) == artifact.executable:
                        self._linked.add(file)
                        return mark
                    target.unlink()
        return None

    def copy(self, artifact: DownloadArtifactResponse, target: Path) -> bool:
        """Put a verified copy of a file with an artifact's digest at `target`, if there is one.

        Raises `OSError` for `target`.
        """
        sha256 = artifact.sha256
        if sha256 is None:
            return False
        candidates = self._candidates(artifact)
        return any(self._copy(file, sha256, target) for file in candidates if self._digests.get(file, sha256) == sha256)

    def _candidates(self, artifact: DownloadArtifactResponse) -> list[Path]:
        """Files of an artifact's size; that at its path comes first."""
        same = self._place / artifact.path
        files = self._by_size.get(artifact.size, ()) if artifact.size is not None else ()
        return sorted(files, key=lambda file: file != same)

    def _copy(self, file: Path, sha256: str, target: Path) -> bool:
        draft = target.with_name(f"{target.name}.present")
        try:
            with draft.open("wb") as copy:
                with suppress(FileNotFoundError, PermissionError), open(_open(file), "rb") as source:
                    copy_bytes(source, copy)
                os.fsync(copy.fileno())
            self._digests[file] = sha256_of_file(draft)
            if self._digests[file] == sha256:
                draft.replace(target)
            return self._digests[file] == sha256
        finally:
            draft.unlink(missing_ok=True)


def is_still(file: Path, mark: Mark) -> bool:
    """Whether a marked file has not changed, and nobody is about to change it. Blocks. Raises `OSError`."""
    return not may_be_written(file) and mark.fits(file.lstat())


def _is_executable(file: Path) -> bool:
    return bool(file.lstat().st_mode & stat.S_IXUSR)


def _regular_files(place: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in [place, *place.rglob("*")]:
        with suppress(FileNotFoundError, PermissionError):
            status = file.lstat()
            if stat.S_ISREG(status.st_mode):
                yield file, status


def _open(file: Path) -> int:
    """Open a file, but not what a link has meanwhile put in its place."""
    return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
