"""What check, sweep, adopt and migrate find and do: facts with fields. `admin.wording` has the sentences.

A version is named by its number, an object by its key in the store, an item by the two parts of its key in the table.
Sizes are in bytes; a digest is 64 hex digits.
"""

from dataclasses import dataclass
from enum import StrEnum

from modelkeep.kit.text import snake_case


@dataclass(frozen=True)
class Finding:
    """The base of all findings."""

    @classmethod
    def code(cls) -> str:
        """The stable name that programs may compare: of `MissingObject` it is `missing_object`."""
        return snake_case(cls.__name__)


@dataclass(frozen=True)
class ModelFinding(Finding):
    """Something about a model."""

    model: str


@dataclass(frozen=True)
class VersionFinding(ModelFinding):
    """Something about a version, or about an upload that has its number."""

    version: int


@dataclass(frozen=True)
class ArtifactFinding(VersionFinding):
    """Something about an artifact and its object."""

    path: str
    key: str


# check


@dataclass(frozen=True)
class ExpiringItem(Finding):
    """An item that must last has an expiry, by which DynamoDB would remove it."""

    partition: str
    sort: int


class InvalidModelName(ModelFinding):
    """The public recipe wrote versions of a model whose name no model can have here."""


@dataclass(frozen=True)
class NewerFormat(ModelFinding):
    """A newer release wrote the model in a format that this one cannot judge."""

    format: int
    supported: int


class MissingHead(ModelFinding):
    """The model has items and no head."""


class DeletedModelWithVersions(ModelFinding):
    """The head records that the model is deleted, and there are versions."""


@dataclass(frozen=True)
class LatestVersionMismatch(ModelFinding):
    """The latest version that the head records is not the newest that there is."""

    recorded: int | None
    newest: int | None


class ProductionMismatch(VersionFinding):
    """The version that the head records as production does not exist, or is in another stage."""


@dataclass(frozen=True)
class ProductionConflict(VersionFinding):
    """A version is in stage production, and the head records another."""

    production: int | None


@dataclass(frozen=True)
class DanglingAlias(VersionFinding):
    """An alias names a version that does not exist."""

    alias: str


class DanglingProductionHistory(VersionFinding):
    """The production history names a version that does not exist."""


class DuplicateNumber(VersionFinding):
    """Two among live versions, uploads and the trash have the same number."""


@dataclass(frozen=True)
class UnissuedNumber(VersionFinding):
    """A number is in use that the registry has not given out."""

    next_version: int


@dataclass(frozen=True)
class MissingEvent(ModelFinding):
    """The history has a gap at this generation."""

    generation: int


@dataclass(frozen=True)
class GenerationMismatch(ModelFinding):
    """The latest event of the history is not that of the head's generation."""

    history: int
    head: int


@dataclass(frozen=True)
class ForeignObject(ArtifactFinding):
    """An adopted version's object is in another store."""

    s3_path: str


class MissingObject(ArtifactFinding):
    """There is no object for the artifact."""


@dataclass(frozen=True)
class SizeMismatch(ArtifactFinding):
    """The object has another size than the artifact."""

    stored: int
    recorded: int


@dataclass(frozen=True)
class ChecksumMismatch(ArtifactFinding):
    """The object has another SHA-256 than the artifact."""

    stored: str
    recorded: str


# init


@dataclass(frozen=True)
class SetupStep(Finding):
    """A part of the table, the bucket or the folder is ready, in the words of its driver."""

    detail: str


@dataclass(frozen=True)
class DeletedModelSkipped(ModelFinding):
    """The public recipe wrote versions of a model after it was deleted here."""

    versions: int


@dataclass(frozen=True)
class ProductionConflictResolved(ModelFinding):
    """Several versions were in stage production; all but `production` are archived now."""

    claimed: tuple[int, ...]
    production: int | None
    archived: tuple[int, ...]


@dataclass(frozen=True)
class ModelAdopted(ModelFinding):
    """The model has a head that knows all of its versions."""

    versions: int
    production: int | None


class VersionWithoutObject(VersionFinding):
    """An adopted version names no object."""


@dataclass(frozen=True)
class VersionVerified(VersionFinding):
    """An adopted version's object was read; its size and digest are in the table now."""

    sha256: str


# sweep


class DeletionFinished(ModelFinding):
    """The deletion of the model had been interrupted."""


class ExpiredUpload(VersionFinding):
    """An upload was not completed in time, and is removed."""


@dataclass(frozen=True)
class PurgedVersion(VersionFinding):
    """A version was long enough in the trash, and is removed."""

    size: int


@dataclass(frozen=True)
class OrphanedObject(Finding):
    """An object that nothing refers to is removed."""

    key: str


@dataclass(frozen=True)
class OrphanedParts(Finding):
    """A multipart object that nothing refers to is aborted."""

    key: str


@dataclass(frozen=True)
class ExpiredItems(Finding):
    """Idempotency keys and tokens that have expired are removed."""

    count: int


@dataclass(frozen=True)
class InterruptedFiles(Finding):
    """Files that interrupted uploads left in the local store are removed."""

    count: int


# migrate


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
