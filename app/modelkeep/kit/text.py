"""Sizes, counts, durations and moments as people read them, and names as programs do."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_WHOLE_FROM: Final = 100
"""From here on a size is shown without a fraction."""

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY

INVISIBLE: Final[Mapping[str, str]] = {
    "Cc": "control",
    "Cf": "format",
    "Co": "private-use",
    "Cs": "surrogate",
    "Zl": "line separator",
    "Zp": "paragraph separator",
}
"""Unicode's categories of characters that are not seen as they are, and what they are called."""

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def format_size(count: float | None) -> str:
    """Bytes in binary units: `1.0 GiB`; `?` for an unknown size."""
    if count is None:
        return "?"
    for unit in _UNITS:
        if count < _STEP or unit == _UNITS[-1]:
            break
        count /= _STEP
    return f"{count:.0f} {unit}" if unit == "B" or count >= _WHOLE_FROM else f"{count:.1f} {unit}"


def format_share(part: int, whole: int) -> str:
    """How many of all bytes, in the unit of all: `0.6 of 1.4 GiB`, rounded down; `all of 1.4 GiB` only if they are."""
    if part >= whole:
        return f"all of {format_size(whole)}"
    number, unit = format_size(whole).split()
    digits = 1 if "." in number else 0
    scaled = part / _STEP ** _UNITS.index(unit)
    return f"{int(scaled * 10**digits) / 10**digits:.{digits}f} of {number} {unit}"


def format_count(count: int, noun: str) -> str:
    """A number of things: `1 file`, `1,024 files`. The plural of `noun` takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """Seconds in one or two units: `8.4 s`, `2 min 5 s`."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def format_age(at: datetime) -> str:
    """How long ago a moment was, if within a week: `5 min ago`; else its date."""
    passed = (datetime.now(UTC) - at).total_seconds()
    if passed < _MINUTE:
        return "just now"
    if passed < _HOUR:
        return f"{int(passed // _MINUTE)} min ago"
    if passed < _DAY:
        return f"{int(passed // _HOUR)} h ago"
    if passed < _WEEK:
        return f"{int(passed // _DAY)} d ago"
    return f"{at:%Y-%m-%d}"


def format_until(at: datetime) -> str:
    """How long a moment is ahead: `in 23 h`; `over` if it is past."""
    left = (at - datetime.now(UTC)).total_seconds()
    if left <= 0:
        return "over"
    if left < _HOUR:
        return f"in {int(left // _MINUTE)} min"
    return f"in {int(left // _HOUR)} h" if left < 2 * _DAY else f"in {int(left // _DAY)} d"


def format_moment(at: datetime) -> str:
    """A moment in UTC to the second: `2026-01-31T12:00:00Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def one_line(text: str) -> str:
    """Foreign text on one line, without the control characters that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def first_invisible(text: str) -> str | None:
    """The first character that is of no use to a reader, or moves the cursor, or is no character."""
    if text.isprintable():
        return None
    return next((character for character in text if unicodedata.category(character) in INVISIBLE), None)


def escaped(text: str) -> str:
    """A name as it is, but with its invisible characters as escape sequences of Python."""
    if first_invisible(text) is None:
        return text
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in INVISIBLE else c for c in text)


def escaped_lines(text: str) -> str:
    """A text as it is but for its line breaks, and with its other invisible characters as `escaped` has them."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def snake_case(name: str) -> str:
    """The name of a class as a code: `VersionNotFound` is `version_not_found`."""
    return _WORD_START.sub("_", name).lower()
