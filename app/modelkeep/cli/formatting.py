"""Sizes, durations and moments as people read them."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_LONG: Final = 100
"""From here on a fraction says nothing that anybody reads."""
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_RECENT: Final = 7 * _DAY


def size(count: float | None) -> str:
    """Bytes in binary units: `1.0 GiB`; `?` for what nobody has measured."""
    if count is None:
        return "?"
    for unit in _UNITS:
        if count < _STEP or unit == _UNITS[-1]:
            break
        count /= _STEP
    return f"{count:.0f} {unit}" if unit == "B" or count >= _LONG else f"{count:.1f} {unit}"


def files(count: int) -> str:
    """How many files."""
    return f"{count} file{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in one or two units: `8.4 s`, `2 min 5 s`."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"


def age(at: datetime) -> str:
    """How long ago, within a week; else the date."""
    passed = (datetime.now(UTC) - at).total_seconds()
    if passed < _MINUTE:
        return "just now"
    if passed < _HOUR:
        return f"{int(passed // _MINUTE)} min ago"
    if passed < _DAY:
        return f"{int(passed // _HOUR)} h ago"
    if passed < _RECENT:
        return f"{int(passed // _DAY)} d ago"
    return f"{at:%Y-%m-%d}"


def moment(at: datetime) -> str:
    """The moment itself, as the API writes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def one_line(text: str) -> str:
    """Foreign text without line breaks, and without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
