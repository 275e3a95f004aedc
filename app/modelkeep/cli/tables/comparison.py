"""Two versions side by side: as tables, or as one list for programs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType

from modelkeep.cli.tables import cells
from modelkeep.cli.tables.layout import Cells, Screen, table
from modelkeep.kit.text import format_size

if TYPE_CHECKING:
    from modelkeep.schemas.comparisons import ComparisonResponse

RECORD: Final = ("kind", "name", "a", "b", "difference", "state")
"""The fields of each entry of `records`."""


def comparison(on: Screen, found: "ComparisonResponse") -> RenderableType:
    """A table of metrics, one of tags and one of files."""
    a, b = f"v{found.a}", f"v{found.b}"
    a, b = (a, b) if a != b else (a, f"{b} ")
    metrics: dict[str, Cells] = {
        "metric": [cells.free(each.name) for each in found.metrics],
        a: [cells.number(each.a) for each in found.metrics],
        b: [cells.number(each.b) for each in found.metrics],
        "difference": ["" if each.difference is None else f"{each.difference:+.6g}" for each in found.metrics],
    }
    tags: dict[str, Cells] = {
        "tag": [cells.free(each.name) for each in found.tags],
        a: [cells.free("-" if each.a is None else each.a) for each in found.tags],
        b: [cells.free("-" if each.b is None else each.b) for each in found.tags],
    }
    files: dict[str, Cells] = {
        "file": [cells.path(each.path) for each in found.files],
        "change": [each.state for each in found.files],
        a: ["-" if each.state == "added" else format_size(each.a_size) for each in found.files],
        b: ["-" if each.state == "removed" else format_size(each.b_size) for each in found.files],
    }
    shown = [table(on, columns) for columns in (metrics, tags, files) if any(columns.values())]
    return Group(*[part for each in shown for part in ("", each)][1:])


def records(found: "ComparisonResponse") -> Iterator[dict[str, Any]]:
    """Metrics, tags and files one after the other; of a file, `a` and `b` are its sizes."""
    for metric in found.metrics:
        yield _record(kind="metric", name=metric.name, a=metric.a, b=metric.b, difference=metric.difference)
    for tag in found.tags:
        yield _record(kind="tag", name=tag.name, a=tag.a, b=tag.b)
    for file in found.files:
        yield _record(kind="file", name=file.path, a=file.a_size, b=file.b_size, state=file.state)


def _record(**fields: Any) -> dict[str, Any]:
    return dict.fromkeys(RECORD) | fields
