"""Marks of verified files, by which a file is known again without being read. `disk_layout` describes the format.

A mark holds while size, time of modification and inode of the file are those noted. Whoever writes within one tick of
the clock can leave all three as they were, so a file counts as marked only if it is older than the marker that lists
it: the rule of git's index. Source: https://git-scm.com/docs/racy-git
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Mark:
    """Size in bytes, time of modification in nanoseconds since 1970, inode, and SHA-256 of a verified file."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str

    @classmethod
    def of(cls, status: os.stat_result, sha256: str) -> Self:
        """The mark of a file with this digest."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, sha256)

    def fits(self, status: os.stat_result) -> bool:
        """Whether this is the status of the regular file that was marked."""
        return stat.S_ISREG(status.st_mode) and Mark.of(status, self.sha256) == self


class Marks:
    """The marks of a marker, by the files' paths. `noted_ns` is the marker's own time of modification."""

    def __init__(self, marks: Mapping[str, Mark], *, noted_ns: int) -> None:
        self._marks = marks
        self._noted_ns = noted_ns

    @classmethod
    def none(cls) -> Self:
        """No marks, so that every file is read."""
        return cls({}, noted_ns=0)

    @classmethod
    def of_marker(cls, path: Path) -> Self:
        """Those of a marker; none if it cannot be read. Blocks."""
        try:
            marks = {file: Mark(*fields) for file, fields in read_marker(path).get("marks", {}).items()}
            return cls(marks, noted_ns=path.lstat().st_mtime_ns)
        except (OSError, AttributeError, TypeError):
            return cls.none()

    def of_file(self, path: str, status: os.stat_result) -> Mark | None:
        """The mark of a file that has not changed since, or `None`."""
        mark = self._marks.get(path)
        return mark if mark and mark.fits(status) and mark.mtime_ns < self._noted_ns else None


def read_marker(path: Path) -> dict[str, Any]:
    """The content of a marker; empty if there is none, or something else is there. Blocks."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def to_text(marker: Mapping[str, Any], marks: Mapping[str, Mark]) -> str:
    """A marker with marks, as it is written."""
    return f"{json.dumps({**marker, 'marks': {path: astuple(mark) for path, mark in marks.items()}})}\n"
