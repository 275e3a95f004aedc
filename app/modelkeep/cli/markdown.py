"""Markdown on a terminal: prose of a readable width, and tables that are never cut."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import Markdown, TableElement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_COLUMNS: Final = 100
_PROSE: Final = 30
_INDENTED: Final = (0, 0, 0, 2)


class _Table(TableElement):
    """A table; one that is too wide for the terminal, however its last column wraps, becomes a list of its rows."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table) and _narrowest(part) > options.max_width:
                yield from _rows_of(part)
            else:
                yield part


def _narrowest(table: Table) -> int:
    """The least width at which nothing but the last column has to wrap, and that between words."""
    *others, last = ([str(column.header), *map(str, column.cells)] for column in table.columns)
    words = max(len(word) for cell in last for word in cell.split())
    width = max(words, min(_PROSE, max(map(len, last))))
    return sum(max(map(len, cells)) for cells in others) + width + 2 * len(table.columns) + 2


def _rows_of(table: Table) -> Iterator[RenderableType]:
    """Each row as its first cell, and below it the others with their headers."""
    headers = [str(column.header) for column in table.columns]
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        yield Text(str(first), style="bold")
        for header, cell in zip(headers[1:], others, strict=True):
            if str(cell):
                yield Padding(Text.assemble((f"{header}: ", "dim"), str(cell)), _INDENTED)
    yield Text()


class _Page(Markdown):
    elements = {**Markdown.elements, "table_open": _Table}  # noqa: RUF012 -- as its base declares it


def rendered(text: str) -> str:
    """Markdown as lines for the terminal that standard output is, at most 100 columns wide."""
    screen = Console()
    width = min(screen.width, _COLUMNS)
    with screen.capture() as lines:
        screen.print(_Page(text, hyperlinks=False), width=width)
    return lines.get()
