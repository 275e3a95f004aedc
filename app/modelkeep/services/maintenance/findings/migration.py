"""What `migrate` does and finds."""

from dataclasses import dataclass
from enum import StrEnum

from modelkeep.services.maintenance.findings.base import ArtifactFinding, Finding, ModelFinding, VersionFinding


class CopyProblem(StrEnum):
    """Why an object cannot be copied."""

    INVALID_KEY = "invalid_key"
    MISSING_AT_SOURCE = "missing_at_source"
    DAMAGED_AT_SOURCE = "damaged_at_source"
    OTHER_BYTES_AT_DESTINATION = "other_bytes_at_destination"
    VANISHED = "vanished"


class MigrationProblem(StrEnum):
    """Why a model is left as it is at the destination. From `DESTINATION_AHEAD` on, others have written it there."""

    INVALID_NAME = "invalid_name"
    MISSING_HEAD = "missing_head"
    CHANGING_AT_SOURCE = "changing_at_source"
    CHANGING_AT_DESTINATION = "changing_at_destination"
    NEWER_FORMAT = "newer_format"
    VERSIONS_NEEDED = "versions_needed"
    DESTINATION_AHEAD = "destination_ahead"
    DESTINATION_WITHOUT_HISTORY = "destination_without_history"
    DIFFERENT_EVENT = "different_event"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_VERSION = "unknown_version"
    CHANGED_DURING_COPY = "changed_during_copy"


class OpenUpload(VersionFinding):
    """An open upload is not copied."""


@dataclass(frozen=True)
class ForeignObjectNotCopied(VersionFinding):
    """An adopted version is copied without its object, which is in another store than the source's."""

    s3_path: str


@dataclass(frozen=True)
class VersionNotCopied(ArtifactFinding):
    """A version is not copied because of this artifact. `sha256` is the artifact's, if it is known."""

    sha256: str | None
    problem: CopyProblem


@dataclass(frozen=True)
class VersionTooLarge(VersionFinding):
    """A version is not copied, because its item would have more bytes than a table takes."""

    size: int
    limit: int


@dataclass(frozen=True)
class ModelNotMigrated(ModelFinding):
    """A model is left as it is at the destination.

    `generation` is that of the event in question, or of a destination that is ahead of `source_generation`; `versions`
    are the numbers in question.
    """

    problem: MigrationProblem
    generation: int | None = None
    source_generation: int | None = None
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelMigrated(ModelFinding):
    """A model is at the destination as it is at the source, but for versions that are named as not copied.

    `objects` and `bytes` were copied by this run. If nothing `changed`, the destination had all of it. A dry run counts
    what a real one would copy and change.
    """

    versions: int
    trashed: int
    events: int
    objects: int
    bytes: int
    changed: bool
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class MigrationEnded(Finding):
    """Of so many models, `migrated` are whole at the destination, or would be after a real run; the last finding."""

    models: int
    migrated: int
    objects: int
    bytes: int
    dry_run: bool
