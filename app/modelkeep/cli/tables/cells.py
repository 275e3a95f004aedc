"""What stands in tables and cards: versions, times, digests, paths, names."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from rich.text import Text

from modelkeep.cli.tables.layout import Free, Screen
from modelkeep.domain.values import Stage
from modelkeep.kit.text import escaped, format_age, format_moment, format_until, one_line

_STAGE_STYLES: Final = {"production": "bold green", "archived": "dim"}
_SHORT_DIGEST_LENGTH: Final = 12
"""Digits of a digest that are shown on a terminal."""


def version(number: int | None) -> str:
    """`v4`, or a dash."""
    return f"v{number}" if number else "-"


def stage(name: Stage) -> Text:
    """The name of a stage, in its colour."""
    return Text(name, _STAGE_STYLES.get(name, ""))


def number(value: float | None) -> str:
    """Six digits of a number, or a dash."""
    return "-" if value is None else f"{value:.6g}"


def when(on: Screen, at: datetime) -> str:
    """A time, or how long ago it was."""
    return format_age(at) if on.brief else format_moment(at)


def until(on: Screen, at: datetime) -> str:
    """A time, or how far it is ahead."""
    return format_until(at) if on.brief else format_moment(at)


def digest(on: Screen, sha256: str | None) -> str:
    """A digest, or its beginning."""
    return (sha256 or "?")[: _SHORT_DIGEST_LENGTH if on.brief else None]


def path(name: str) -> Free:
    """A path, of which the end is shown."""
    return Free(escaped(name), by_end=True)


def free(text: str) -> Free:
    """Foreign text."""
    return Free(one_line(text))


def whole(text: str) -> Text:
    """Foreign text that is never cut."""
    return Text(one_line(text))


def by(actor: str | None) -> str:
    """Who it was, if that is known."""
    return f" by {actor}" if actor else ""


def aliases(numbers: Mapping[str, int]) -> list[str]:
    """Each alias with its version."""
    return [f"{alias}=v{number}" for alias, number in numbers.items()]


def tags(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A line of a card for each tag."""
    for index, (name, value) in enumerate(tags.items()):
        yield "" if index else "tags", f"{name}={value}"
