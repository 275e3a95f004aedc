"""Tables of models, aliases, events and files."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from modelkeep.cli.tables import cells
from modelkeep.cli.tables.layout import Columns, Free, Screen, Words, table
from modelkeep.kit.text import format_share, format_size

if TYPE_CHECKING:
    from modelkeep.schemas.events import EventResponse
    from modelkeep.schemas.models import ModelResponse
    from modelkeep.schemas.uploads import UploadProgressResponse

_LEFT_OUT_OF_MODELS: Final = ("description", "aliases", "updated")
_LEFT_OUT_OF_EVENTS: Final = ("generation", "comment", "by", "when")


def models(on: Screen, found: Sequence["ModelResponse"]) -> Table:
    """A line for each model."""
    columns: Columns = {
        "model": [cells.whole(model.model) for model in found],
        "production": [cells.version(model.production_version) for model in found],
        "latest": [cells.version(model.latest_version) for model in found],
        "aliases": [Words(cells.aliases(model.aliases)) for model in found],
        "updated": [cells.when(on, model.updated_at) for model in found],
        "description": [cells.free(model.description) for model in found],
    }
    return table(on, columns, left_out=_LEFT_OUT_OF_MODELS)


def aliases(on: Screen, found: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each alias."""
    columns: Columns = {
        "alias": [cells.whole(each["alias"]) for each in found],
        "version": [cells.version(each["version"]) for each in found],
    }
    return table(on, columns)


def events(on: Screen, found: Sequence["EventResponse"]) -> Table:
    """A line for each event."""
    columns: Columns = {
        "generation": [str(event.generation) for event in found],
        "when": [cells.when(on, event.at) for event in found],
        "event": [cells.whole(event.type.removeprefix("version_").replace("_", " ")) for event in found],
        "version": [cells.version(event.version) for event in found],
        "change": [_change(event) for event in found],
        "by": [cells.free(event.actor) for event in found],
        "comment": [cells.free(event.comment or "") for event in found],
    }
    return table(on, columns, left_out=_LEFT_OUT_OF_EVENTS)


def uploads(on: Screen, found: Sequence["UploadProgressResponse"]) -> Table:
    """A line for each upload."""
    columns: Columns = {
        "version": [cells.version(upload.version) for upload in found],
        "arrived": [format_share(upload.arrived_size, upload.size) for upload in found],
        "files": [f"{upload.arrived_count} of {upload.artifact_count}" for upload in found],
        "begun": [cells.when(on, upload.created_at) for upload in found],
        "expires": [cells.until(on, upload.expires_at) for upload in found],
        "by": [cells.free(upload.created_by) for upload in found],
    }
    return table(on, columns)


def files(on: Screen, sizes: Mapping[str, int]) -> Table:
    """A line for each file, and for each folder, whose path ends in a slash; that has no size."""
    shown = ["-" if path.endswith("/") else format_size(size) for path, size in sizes.items()]
    return table(on, {"file": [cells.path(path) for path in sizes], "size": shown})


def _change(event: "EventResponse") -> Free:
    """From what to what: of the two, nothing is ever cut."""
    version = "v" if event.alias else ""
    before = f"{version}{event.origin} " if event.origin else ""
    after = f"→ {version}{event.target}" if event.target else "→ none"
    return Free(event.alias or "", kept=f"{before}{after}" if event.alias or event.origin else "")
