"""Tables and cards: as wide as there is room, but what must be read whole is never cut.

A table that is too narrow for its columns leaves out those that may be, then cuts those that may be; what is left is
wider than the terminal if it must be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from modelkeep.cli.output import UNLIMITED_WIDTH, console, is_terminal
from modelkeep.kit.text import one_line

_RIGHT: Final = frozenset({"size", "generation", "files"})
_GAP: Final = 2
_MIN_WIDTH: Final = 12
"""What a cell that may be cut keeps, unless it is shorter."""


@dataclass(frozen=True, slots=True)
class Screen:
    """How wide output may be; a `brief` one has ages instead of times, and the first digits of digests."""

    width: int
    brief: bool


def screen(*, wide: bool = False) -> Screen:
    """The terminal; if there is none, or with `wide`, one that has room for everything."""
    return Screen(UNLIMITED_WIDTH if wide else console().width, brief=is_terminal() and not wide)


Wide = Annotated[bool, typer.Option("--wide", help="All columns, and nothing cut, however narrow the terminal is.")]


@dataclass(frozen=True, slots=True)
class Words:
    """Words on one line: as many as there is room for, with an ellipsis where some are left out or cut."""

    words: Sequence[str]

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def min_width(self) -> int:
        """The width of the longest word, within limits."""
        return min(_MIN_WIDTH, cell_len(str(self)), max(map(cell_len, self.words), default=0) + len(" …"))

    def fit(self, width: int) -> str:
        """As many words as fit, and at least the beginning of the first."""
        for count in range(len(self.words), 0, -1):
            line = " ".join([*self.words[:count], *(["…"] if count < len(self.words) else [])])
            if cell_len(line) <= width:
                return line
        return cut(self.words[0], width) if self.words else ""


@dataclass(frozen=True, slots=True)
class Free:
    """Text of any length, of which the beginning, or with `by_end` the end, is shown; `kept` behind it is never cut."""

    text: str
    kept: str = ""
    by_end: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.kept}".strip()

    @property
    def min_width(self) -> int:
        """The width of what is kept, and of some of the text."""
        return cell_len(str(self)) - max(0, cell_len(self.text) - _MIN_WIDTH)

    def fit(self, width: int) -> str:
        """All that is kept, and as much of the text as there is room for."""
        spare = width - cell_len(str(self)) + cell_len(self.text)
        shown = self.text if spare >= cell_len(self.text) else _cut_start(self.text, spare)
        return str(Free(shown if self.by_end else cut(self.text, spare), self.kept))


def cut(text: str, width: int) -> str:
    """The beginning of a text, at most this wide, with an ellipsis if that is not all."""
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _cut_start(text: str, width: int) -> str:
    start = next(at for at in range(len(text) + 1) if cell_len(text[at:]) < width)
    return f"…{text[start:]}"


Cells = Sequence[str | Text | Words | Free]
"""A column. `Words` and `Free` can be shortened to their `min_width`."""

Columns = Mapping[str, Cells]


def table(on: Screen, columns: Columns, *, left_out: Sequence[str] = ()) -> Table:
    """A table of these columns, without empty ones; where they do not fit, without those that are `left_out`, in order.

    Cells that can be shortened get the room that others leave, those of the last column first.
    """
    shown = fitting(on, columns, left_out=left_out)
    widths = _widths(on, shown)
    total = sum(widths.values()) + _GAP * max(0, len(widths) - 1)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", width=total)
    for name in shown:
        justify: JustifyMethod = "right" if name in _RIGHT else "left"
        grid.add_column(Text(name), width=widths[name], no_wrap=True, overflow="ellipsis", justify=justify)
    for row in zip(*shown.values(), strict=True):
        grid.add_row(*(_fit(cell, widths[name]) for name, cell in zip(shown, row, strict=True)))
    return grid


def fitting(on: Screen, columns: Columns, *, left_out: Sequence[str]) -> dict[str, Cells]:
    """The columns that are not empty, without as many of those that may be left out as there is no room for."""
    shown = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    for name in left_out:
        if room_left(on, shown) >= 0:
            break
        shown.pop(name, None)
    return shown


def room_left(on: Screen, columns: Columns) -> int:
    """What these columns leave of the width, once cells are shortened; below 0 if they do not fit."""
    return on.width + _GAP - sum(room_for(name, cells) for name, cells in columns.items() if any(map(str, cells)))


def room_for(name: str, cells: Cells) -> int:
    """What a column takes of the width at least, with the gap beside it."""
    return _GAP + _width(name, cells, least=True)


def card(lines: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values below each other, without empty ones; values are folded."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        if value:
            grid.add_row(name, one_line(value))
    return grid


def _widths(on: Screen, columns: Columns) -> dict[str, int]:
    widths = {name: _width(name, cells, least=True) for name, cells in columns.items()}
    spare = on.width - sum(widths.values()) - _GAP * (len(widths) - 1)
    for name in reversed(widths):
        more = max(0, min(spare, _width(name, columns[name], least=False) - widths[name]))
        widths[name] += more
        spare -= more
    return widths


def _width(name: str, cells: Cells, *, least: bool) -> int:
    return max(cell_len(name), *(_cell_width(cell, least=least) for cell in cells))


def _cell_width(cell: str | Text | Words | Free, *, least: bool) -> int:
    return cell_len(str(cell)) if isinstance(cell, str | Text) or not least else cell.min_width


def _fit(cell: str | Text | Words | Free, width: int) -> str | Text:
    return cell if isinstance(cell, str | Text) else cell.fit(width)
