"""Which files of a folder are registered, and what is said of those that are left out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from modelkeep.client.disk_layout import IGNORE_FILE
from modelkeep.client.errors import LocalFileError
from modelkeep.client.path_patterns import PathPatterns
from modelkeep.domain.errors import InvalidRequestError
from modelkeep.kit.text import escaped

LEFT_OUT: Final = (
    ".git",
    "__pycache__",
    ".DS_Store",
    ".ipynb_checkpoints",
    "**/.cache/huggingface",
    ".modelkeep*",
)
"""Patterns of what is part of no model, as defaults: a later `!pattern` takes it in again."""


class Selection:
    """The files that match a pattern of `include`, or all; but none that is left out.

    Left out is what `LEFT_OUT`, the folder's `.modelkeepignore` or `exclude` names, in this order: the last pattern
    that matches decides. What is in a folder that is left out is left out, and a folder that is taken in again brings
    nothing along that a pattern names.
    """

    def __init__(self, folder: Path, *, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Raises `InvalidRequestError` for what is no pattern, and `LocalFileError` for the ignore file."""
        self._include = _patterns("include", include)
        self._exclude = _patterns("exclude", exclude)
        self._left_out = _left_out(folder / IGNORE_FILE, exclude)
        self._counts: Counter[str] = Counter()

    def takes(self, path: str) -> bool:
        """Whether a file is to be registered, or an empty folder, whose name ends in a slash."""
        return not self._is_left_out(path) and (not self._include or self._include.deciding(path) is not None)

    def opens(self, folder: str) -> bool:
        """Whether there may be something to be registered in a folder, whose name ends in a slash."""
        return not self._is_left_out(folder) and (not self._include or self._include.may_select_below(folder))

    @property
    def is_limited(self) -> bool:
        """Whether patterns were given, or anything was left out."""
        return bool(self._include or self._exclude or self._counts)

    def remarks(self) -> Iterator[str]:
        """Sentences about what was left out, and about patterns that have matched nothing."""
        if self._counts:
            yield f"Left out: {', '.join(f'{escaped(pattern)} ({count})' for pattern, count in self._counts.items())}."
        for option, patterns in {"include": self._include, "exclude": self._exclude}.items():
            for pattern in patterns.unmatched:
                yield f"The {option} pattern '{escaped(pattern)}' matches nothing."

    def _is_left_out(self, path: str) -> bool:
        self._exclude.deciding_alone(path)
        pattern = self._left_out.deciding_alone(path)
        if pattern is not None:
            self._counts[pattern.removeprefix("**/")] += 1
        return pattern is not None


def _patterns(option: str, patterns: Sequence[str]) -> PathPatterns:
    try:
        return PathPatterns(patterns)
    except ValueError as error:
        raise InvalidRequestError([{"location": option, "message": str(error)}]) from None


def _left_out(ignore_file: Path, exclude: Sequence[str]) -> PathPatterns:
    try:
        lines = [line for line in ignore_file.read_text("utf-8-sig").splitlines() if line.strip() and line[0] != "#"]
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise LocalFileError(ignore_file, f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise LocalFileError(ignore_file, "is not a text file in UTF-8.") from None
    try:
        return PathPatterns([*LEFT_OUT, *lines, *exclude])
    except ValueError as error:
        raise LocalFileError(ignore_file, f"cannot be used: {error}.") from None
