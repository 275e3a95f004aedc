"""Tables of models, versions and events: at most as wide as the terminal, and never truncated without one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from modelkeep.cli.output import console, is_terminal
from modelkeep.kit.text import escaped, format_age, format_count, format_moment, format_size, one_line

if TYPE_CHECKING:
    from modelkeep.schemas.comparisons import ComparisonResponse
    from modelkeep.schemas.events import EventResponse
    from modelkeep.schemas.models import ModelResponse
    from modelkeep.schemas.versions import VersionResponse

_STAGE_STYLES: Final = {"production": "bold green", "archived": "dim"}
_JUSTIFICATIONS: Final[dict[str, JustifyMethod]] = {"size": "right", "generation": "right"}
_FREE_TEXT: Final = frozenset({"change", "comment", "description"})
_LEFT_OUT_FIRST: Final = ("framework", "size", "aliases", "created")
"""Columns of versions that make room for the metric that was asked for."""

_FIXED_COLUMNS: Final = _FREE_TEXT | {"version", "stage", "aliases", "size", "framework", "created", "…"}
_GAP: Final = 2
_MAX_MIN_WIDTH: Final = 16
_SHORT_DIGEST_LENGTH: Final = 12
"""Digits of a digest that are shown on a terminal."""


class TruncatedCell:
    """Words on one line: as many as there is room for, with an ellipsis where some are left out or truncated."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = list(words)

    def __str__(self) -> str:
        return " ".join(self._words)

    @property
    def min_width(self) -> int:
        """The width of the longest word, within limits."""
        return min(_MAX_MIN_WIDTH, len(str(self)), max(map(len, self._words), default=0) + len(" …"))

    def fit(self, width: int) -> str:
        """The text for a column of this width."""
        for count in range(len(self._words), 0, -1):
            line = " ".join([*self._words[:count], *(["…"] if count < len(self._words) else [])])
            if len(line) <= width:
                return line
        return _truncate(self._words[0], width) if self._words else ""


def _truncate(word: str, width: int) -> str:
    """A word of at most this width; of `name=value`, the value stays whole."""
    if len(word) <= width:
        return word
    name, equals, value = word.rpartition("=")
    room = width - len(value) - len("…=")
    return f"{name[:room]}…={value}" if equals and room > 0 else f"{word[: width - 1]}…"


Cells = Sequence[str | Text | TruncatedCell]


def models(found: Sequence["ModelResponse"]) -> RenderableType:
    """A line for each model."""
    return _table(
        model=[_text(model.model) for model in found],
        production=[_version(model.production_version) for model in found],
        latest=[_version(model.latest_version) for model in found],
        aliases=[TruncatedCell(_aliases(model.aliases)) for model in found],
        updated=[_when(model.updated_at) for model in found],
        description=[_text(model.description) for model in found],
    )


def versions(found: Sequence["VersionResponse"], *, sorted_by: str | None = None) -> RenderableType:
    """A line for each version, with a column for each metric that fits; that of `sorted_by` is always there."""
    columns: dict[str, Cells] = {
        "version": [f"v{version.version}" for version in found],
        "stage": [Text(version.stage, _STAGE_STYLES.get(version.stage, "")) for version in found],
        "aliases": [TruncatedCell(version.aliases) for version in found],
        "size": [format_size(version.size) for version in found],
        "framework": [_text(version.framework) for version in found],
        "created": [_when(version.created_at) for version in found],
    }
    metrics = _metric_columns(found)
    asked = {name: cells for name, cells in metrics.items() if name == _metric_label(sorted_by or "")}
    names = [name for name in _LEFT_OUT_FIRST if name in columns]
    while names and _width_of({**columns, **asked, "…": "…"}) > console().width:
        del columns[names.pop(0)]
    shown = dict(asked)
    for name in [name for name in metrics if name not in asked]:
        if _width_of({**columns, **shown, name: metrics[name], "…": "…"}) <= console().width:
            shown[name] = metrics[name]
    if left_out := [metrics[name] for name in metrics if name not in shown]:
        shown["…"] = ["…" if any(cells) else "" for cells in zip(*left_out, strict=True)]
    created = {"created": columns.pop("created")} if "created" in columns else {}
    return _table(**columns, **shown, **created)


def _metric_columns(found: Sequence["VersionResponse"]) -> dict[str, Cells]:
    """A column for each metric that one of the versions has."""
    names = dict.fromkeys(name for version in found for name in version.metrics)
    return {
        _metric_label(name): [f"{version.metrics[name]:.6g}" if name in version.metrics else "" for version in found]
        for name in names
    }


def _metric_label(name: str) -> str:
    """The heading of a metric's column."""
    return f"metrics.{name}" if name in _FIXED_COLUMNS else one_line(name)


def _width_of(columns: Mapping[str, Cells]) -> int:
    """The least width of a table of these columns."""
    widths = [
        max(len(name), *(cell.min_width if isinstance(cell, TruncatedCell) else len(str(cell)) for cell in cells))
        for name, cells in columns.items()
        if any(map(str, cells))
    ]
    return sum(widths) + _GAP * max(0, len(widths) - 1)


def aliases(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A line for each alias."""
    return _table(alias=[_text(each["alias"]) for each in found], version=[_version(each["version"]) for each in found])


def events(found: Sequence["EventResponse"]) -> RenderableType:
    """A line for each event."""
    return _table(
        generation=[str(event.generation) for event in found],
        when=[_when(event.at) for event in found],
        event=[_text(event.type.removeprefix("version_").replace("_", " ")) for event in found],
        version=[_version(event.version) for event in found],
        change=[_text(_change(event)) for event in found],
        by=[_text(event.actor) for event in found],
        comment=[_text(event.comment or "") for event in found],
    )


def model(found: "ModelResponse") -> RenderableType:
    """All of one model."""
    return _card(
        [
            ("model", found.model),
            ("production", _version(found.production_version)),
            ("latest", _version(found.latest_version)),
            ("aliases", " ".join(_aliases(found.aliases))),
            ("description", found.description),
            *_tags(found.tags),
            ("created", format_moment(found.created_at)),
            ("updated", format_moment(found.updated_at)),
            ("generation", str(found.generation)),
        ]
    )


def version(found: "VersionResponse") -> RenderableType:
    """All of one version, and its files."""
    card = _card(
        [
            ("model", found.model),
            ("version", f"v{found.version}"),
            ("stage", f"{found.stage}, since {format_moment(found.stage_changed_at)}{_by(found.stage_changed_by)}"),
            ("aliases", " ".join(found.aliases)),
            ("framework", f"{found.framework}{' (inferred)' * found.framework_inferred}"),
            ("metrics", " ".join(_metrics(found.metrics))),
            ("description", found.description),
            *_tags(found.tags),
            ("commit", found.commit),
            ("created", f"{format_moment(found.created_at)}{_by(found.created_by)}"),
            ("s3_path", found.s3_path),
            ("size", f"{format_size(found.size)} in {format_count(len(found.artifacts), 'file')}"),
        ]
    )
    listed = _table(
        file=[_path(artifact.path) for artifact in found.artifacts],
        size=[format_size(artifact.size) for artifact in found.artifacts],
        sha256=[_digest(artifact.sha256 or "?") for artifact in found.artifacts],
    )
    return Group(card, "", listed)


def files(sizes: Mapping[str, int]) -> RenderableType:
    """A line for each file."""
    return _table(file=[_path(path) for path in sizes], size=[format_size(size) for size in sizes.values()])


def comparison(found: "ComparisonResponse") -> RenderableType:
    """A table of metrics, one of tags and one of files."""
    a, b = f"v{found.a}", f"v{found.b}"
    a, b = (a, b) if a != b else (a, f"{b} ")
    metrics: dict[str, Cells] = {
        "metric": [_text(each.name) for each in found.metrics],
        a: [_number(each.a) for each in found.metrics],
        b: [_number(each.b) for each in found.metrics],
        "difference": ["" if each.difference is None else f"{each.difference:+.6g}" for each in found.metrics],
    }
    tags: dict[str, Cells] = {
        "tag": [_text(each.name) for each in found.tags],
        a: [_text("-" if each.a is None else each.a) for each in found.tags],
        b: [_text("-" if each.b is None else each.b) for each in found.tags],
    }
    files: dict[str, Cells] = {
        "file": [_path(each.path) for each in found.files],
        "change": [each.state for each in found.files],
        a: ["-" if each.state == "added" else format_size(each.a_size) for each in found.files],
        b: ["-" if each.state == "removed" else format_size(each.b_size) for each in found.files],
    }
    shown = [_table(**columns) for columns in (metrics, tags, files) if any(columns.values())]
    return Group(*(part for table in shown for part in (table, "")))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _table(**columns: Cells) -> Table:
    """A table of these columns, without empty ones. Truncated cells and free text get the room that is left."""
    shown = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    widths = _truncated_widths(shown)
    for name in shown:
        justify = _JUSTIFICATIONS.get(name, "left")
        table.add_column(
            name, width=widths.get(name), no_wrap=name not in _FREE_TEXT, overflow="ellipsis", justify=justify
        )
    for row in zip(*shown.values(), strict=True):
        cells = zip(shown, row, strict=True)
        table.add_row(*(cell.fit(widths[name]) if isinstance(cell, TruncatedCell) else cell for name, cell in cells))
    return table


def _truncated_widths(columns: Mapping[str, Cells]) -> dict[str, int]:
    """The widths of columns of truncated cells: the minimum, and what other columns leave, for the last one first."""
    truncated = {name: [cell for cell in cells if isinstance(cell, TruncatedCell)] for name, cells in columns.items()}
    widths = {name: max(len(name), *(cell.min_width for cell in cells)) for name, cells in truncated.items() if cells}
    others = [(name, cells) for name, cells in columns.items() if name not in widths | dict.fromkeys(_FREE_TEXT)]
    taken = sum(max(len(name), *(len(str(cell)) for cell in cells)) for name, cells in others)
    spare = console().width - _GAP * (len(columns) - 1) - taken - sum(widths.values())
    for name in reversed(widths):
        max_width = max(len(str(cell)) for cell in truncated[name])
        width = max(len(name), min(max_width, widths[name] + spare))
        spare -= width - widths[name]
        widths[name] = width
    return widths


def _card(lines: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        if value:
            table.add_row(name, one_line(value))
    return table


def _tags(tags: dict[str, str]) -> Iterator[tuple[str, str]]:
    for index, (name, value) in enumerate(tags.items()):
        yield "" if index else "tags", f"{name}={value}"


def _aliases(aliases: dict[str, int]) -> list[str]:
    return [f"{alias}=v{number}" for alias, number in aliases.items()]


def _metrics(metrics: dict[str, float]) -> list[str]:
    return [f"{one_line(name)}={value:.6g}" for name, value in metrics.items()]


def _change(event: "EventResponse") -> str:
    version = "v" if event.alias else ""
    before = f"{version}{event.origin} " if event.origin else ""
    after = f"→ {version}{event.target}" if event.target else "→ none"
    if event.alias:
        return f"{event.alias} {before}{after}"
    return f"{before}{after}" if event.origin else ""


def _version(number: int | None) -> str:
    return f"v{number}" if number else "-"


def _by(actor: str | None) -> str:
    return f" by {actor}" if actor else ""


def _digest(sha256: str) -> str:
    return sha256[:_SHORT_DIGEST_LENGTH] if is_terminal() else sha256


def _when(at: datetime) -> str:
    return format_age(at) if is_terminal() else format_moment(at)


def _path(path: str) -> Text:
    return Text(escaped(path), no_wrap=True, overflow="ellipsis")


def _text(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")
