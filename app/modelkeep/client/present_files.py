"""Files that lie at the destination already, so that what two versions share is not fetched."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modelkeep.kit.digests import sha256_of_file
from modelkeep.kit.durable_files import copy_bytes
from modelkeep.schemas.downloads import DownloadArtifactResponse


class PresentFiles:
    """The regular files of a folder, or one file, found by size and SHA-256. Methods block.

    A file is copied, never linked: whoever uses the one that is there may write to it while the copy is a verified one.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._by_size: dict[int, list[Path]] = {}
        self._digests: dict[Path, str] = {}
        for file, size in _regular_files(place):
            self._by_size.setdefault(size, []).append(file)

    def copy(self, artifact: DownloadArtifactResponse, target: Path) -> bool:
        """Put the file with an artifact's digest at `target`, if there is one; that at its path is looked at first.

        Raises `OSError` for `target`.
        """
        size, sha256, same = artifact.size, artifact.sha256, self._place / artifact.path
        if size is None or sha256 is None:
            return False
        candidates = sorted(self._by_size.get(size, ()), key=lambda file: file != same)
        return any(self._copy(file, sha256, target) for file in candidates if self._digests.get(file, sha256) == sha256)

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


def _regular_files(place: Path) -> Iterator[tuple[Path, int]]:
    for file in [place, *place.rglob("*")]:
        with suppress(FileNotFoundError, PermissionError):
            status = file.lstat()
            if stat.S_ISREG(status.st_mode):
                yield file, status.st_size


def _open(file: Path) -> int:
    """Open a file, but not what a link has meanwhile put in its place."""
    return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
