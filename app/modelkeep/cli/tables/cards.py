"""All of one model, or of one version with its files."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from modelkeep.cli.tables import cells
from modelkeep.cli.tables.layout import Columns, card, screen, table
from modelkeep.kit.text import format_count, format_moment, format_size, one_line

if TYPE_CHECKING:
    from modelkeep.schemas.models import ModelResponse
    from modelkeep.schemas.versions import VersionResponse


def model(found: "ModelResponse") -> RenderableType:
    """All of one model."""
    return card(
        [
            ("model", found.model),
            ("production", cells.version(found.production_version)),
            ("latest", cells.version(found.latest_version)),
            ("aliases", " ".join(cells.aliases(found.aliases))),
            ("description", found.description),
            *cells.tags(found.tags),
            ("created", format_moment(found.created_at)),
            ("updated", format_moment(found.updated_at)),
            ("generation", str(found.generation)),
        ]
    )


def version(found: "VersionResponse") -> RenderableType:
    """All of one version, and its files."""
    changed_by, on = cells.by(found.stage_changed_by), screen()
    metrics = [f"{one_line(name)}={value:.6g}" for name, value in found.metrics.items()]
    described = card(
        [
            ("model", found.model),
            ("version", f"v{found.version}"),
            ("stage", f"{found.stage}, since {format_moment(found.stage_changed_at)}{changed_by}"),
            ("aliases", " ".join(found.aliases)),
            ("framework", f"{found.framework}{' (inferred)' * found.framework_inferred}"),
            ("metrics", " ".join(metrics)),
            ("description", found.description),
            *cells.tags(found.tags),
            ("run", found.run_id or ""),
            ("source", found.source or ""),
            ("commit", found.commit),
            ("created", f"{format_moment(found.created_at)}{cells.by(found.created_by)}"),
            ("s3_path", found.s3_path),
            ("size", f"{format_size(found.size)} in {format_count(len(found.artifacts), 'file')}"),
        ]
    )
    files: Columns = {
        "file": [cells.path(artifact.path) for artifact in found.artifacts],
        "size": [format_size(artifact.size) for artifact in found.artifacts],
        "sha256": [cells.digest(on, artifact.sha256) for artifact in found.artifacts],
    }
    return Group(described, "", table(on, files))
