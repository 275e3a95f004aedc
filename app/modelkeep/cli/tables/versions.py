"""The table of versions, with a column for each metric that fits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table

from modelkeep.cli.tables import cells
from modelkeep.cli.tables.layout import Cells, Screen, Words, fitting, room_for, room_left, table
from modelkeep.kit.text import format_size, one_line

if TYPE_CHECKING:
    from modelkeep.schemas.versions import VersionResponse

CREATED: Final = "created"
_LEFT_OUT_FIRST: Final = ("framework", "size", "aliases", CREATED)
"""Columns that make room for what was asked for."""

_FIXED_COLUMNS: Final = frozenset({"version", "stage", "…", *_LEFT_OUT_FIRST})


def versions(on: Screen, found: Sequence["VersionResponse"], *, sorted_by: str | None = None) -> Table:
    """A line for each version. What they are sorted by (a metric, or `created`) is always there, and never cut."""
    columns: dict[str, Cells] = {
        "version": [f"v{version.version}" for version in found],
        "stage": [cells.stage(version.stage) for version in found],
        "aliases": [Words(version.aliases) for version in found],
        "size": [format_size(version.size) for version in found],
        "framework": [cells.whole(version.framework) for version in found],
        CREATED: [cells.when(on, version.created_at) for version in found],
    }
    metrics = _metric_columns(found)
    asked = "" if sorted_by in (None, CREATED) else _label(str(sorted_by))
    shown = {name: metrics.pop(name) for name in [asked] if name in metrics}
    mark: dict[str, Cells] = {"…": ["…"]} if metrics else {}
    kept = fitting(on, columns | shown | mark, left_out=[name for name in _LEFT_OUT_FIRST if name != sorted_by])
    room = room_left(on, kept)
    for name in list(metrics):
        if (needed := room_for(name, metrics[name])) <= room:
            shown[name] = metrics.pop(name)
            room -= needed
    if metrics:
        shown["…"] = ["…" if any(values) else "" for values in zip(*metrics.values(), strict=True)]
    last = {name: kept[name] for name in [CREATED] if name in kept}
    first = {name: kept[name] for name in columns if name in kept and name != CREATED}
    return table(on, first | shown | last)


def _metric_columns(found: Sequence["VersionResponse"]) -> dict[str, Cells]:
    """A column for each metric that one of the versions has."""
    names = dict.fromkeys(name for version in found for name in version.metrics)
    return {
        _label(name): [cells.number(version.metrics[name]) if name in version.metrics else "" for version in found]
        for name in names
    }


def _label(metric: str) -> str:
    """The heading of a metric's column."""
    return f"metrics.{metric}" if metric in _FIXED_COLUMNS else one_line(metric)
