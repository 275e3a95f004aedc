"""Patterns of paths by the rule of gitignore, wherever files are selected: https://git-scm.com/docs/gitignore."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from pathspec import GitIgnoreSpec

_NEGATION: Final = "!"
_ANY_DEPTH: Final = "**"
_ANY_FOLDER: Final = "(?P<ps_d>/)"
_ENDS_OF_A_PATH: Final = ("$)", "/)")
"""The last characters of the regular expressions of `pathspec` for patterns that say how a path ends, unlike `a/**`."""


class PathPatterns:
    """Patterns, of which the last one that matches a path decides. The paths of folders end in a slash.

    `./x` is read as `/x`, which is relative to the top as well, and `#x` is no comment here.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ValueError` for what is no pattern, as an empty text."""
        self._written = list(patterns)
        if not all(pattern.strip(" !") for pattern in self._written):
            raise ValueError("an empty pattern matches nothing")
        lines = [_line(pattern) for pattern in self._written]
        self._spec = GitIgnoreSpec.from_lines(lines)
        self._last_first = [*zip(self._spec.patterns, self._written, strict=True)][::-1]
        self._unmatched = {
            pattern: GitIgnoreSpec.from_lines([line.removeprefix(_NEGATION)])
            for pattern, line in zip(self._written, lines, strict=True)
        }
        self._parents = _Parents(line for line in lines if not line.startswith(_NEGATION))

    def __bool__(self) -> bool:
        return bool(self._written)

    @property
    def unmatched(self) -> Sequence[str]:
        """The patterns that match no path that was asked about yet."""
        return list(self._unmatched)

    def deciding(self, path: str) -> str | None:
        """The pattern that selects the path or a folder that it is in, or `None` if it is not selected."""
        self._note(path)
        checked = self._spec.check_file(path)
        return self._written[checked.index] if checked.include and checked.index is not None else None

    def deciding_alone(self, path: str) -> str | None:
        """The pattern that selects the path, whatever is said of the folders that it is in.

        This is what git asks of each path on a walk that opens no folder that is selected: `!sub` takes back the folder
        `sub` and not `sub/secrets`, which another pattern may name.
        """
        self._note(path)
        found = (each for each in self._last_first if _matches_alone(each[0].regex, path))
        pattern, written = next(found, (None, None))
        return written if pattern is not None and pattern.include else None

    def _note(self, path: str) -> None:
        for pattern in [each for each, spec in self._unmatched.items() if spec.match_file(path)]:
            del self._unmatched[pattern]

    def may_select_below(self, folder: str) -> bool:
        """Whether a path in the folder, which ends in a slash, may be selected."""
        return self.deciding(folder) is not None or self._parents.have(folder)


class _Parents:
    """The folders in which patterns that begin at the top may select something: `a/` and `a/b/` for `a/b/*.bin`."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._has_any = False
        self._by_depth: dict[int, list[str]] = {}
        self._open_from: list[str] = []
        for line in lines:
            segments = line.rstrip().strip("/").split("/")
            is_anchored = "/" in line.rstrip().rstrip("/")
            if not is_anchored or segments[0] == _ANY_DEPTH:
                self._has_any = True
                continue
            fixed = segments.index(_ANY_DEPTH) if _ANY_DEPTH in segments else len(segments)
            for depth in range(1, min(fixed, len(segments) - 1) + 1):
                self._by_depth.setdefault(depth, []).append("/" + "/".join(segments[:depth]) + "/")
            if fixed < len(segments):
                self._open_from.append("/" + "/".join(segments[:fixed]) + "/")
        self._specs = {depth: GitIgnoreSpec.from_lines(lines) for depth, lines in self._by_depth.items()}
        self._open_spec = GitIgnoreSpec.from_lines(self._open_from)

    def have(self, folder: str) -> bool:
        spec = self._specs.get(folder.count("/"))
        return self._has_any or self._open_spec.match_file(folder) or (spec is not None and spec.match_file(folder))


def _matches_alone(pattern: re.Pattern[str] | None, path: str) -> bool:
    """Whether a pattern matches the path itself, not only a folder that it is in."""
    if pattern is None:
        return False
    if pattern.pattern == _ANY_FOLDER:
        return path.endswith("/")
    if pattern.pattern.endswith(_ENDS_OF_A_PATH):
        return pattern.fullmatch(path) is not None
    return pattern.match(path.removesuffix("/")) is not None


def _line(pattern: str) -> str:
    """A pattern as a line of a `.gitignore`. Names are compared in NFC."""
    composed = unicodedata.normalize("NFC", pattern)
    body = composed.removeprefix(_NEGATION)
    negation = composed[: len(composed) - len(body)]
    if body.startswith("./"):
        body = body[1:]
    if body.rstrip().endswith(f"{_ANY_DEPTH}/"):  # the folders in it, to which `pathspec` adds the folder itself
        body = f"{body.rstrip()}*/"
    line = f"{negation}{chr(92) if body.startswith('#') else ''}{body}"
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        raise ValueError(f"'{pattern}' is no pattern of gitignore") from None
    return line
