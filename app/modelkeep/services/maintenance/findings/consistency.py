"""What `check` finds."""

from dataclasses import dataclass

from modelkeep.services.maintenance.findings.base import ArtifactFinding, Finding, ModelFinding, VersionFinding


@dataclass(frozen=True)
class UnmarkedBucket(Finding):
    """The bucket has no mark of the table that owns it; `sweep` refuses it until `init` has made one."""

    bucket: str


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
class UnissuedObjects(VersionFinding):
    """There are objects under a number that the registry has not given out: the table may be that of an earlier day."""

    next_version: int
    objects: int


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
class CommitMismatch(VersionFinding):
    """The version has another commit than its completion has in the history."""

    recorded: str
    completed: str


@dataclass(frozen=True)
class ManifestMismatch(VersionFinding):
    """The files that the version names are not those of its commit."""

    commit: str


@dataclass(frozen=True)
class ForeignObject(ArtifactFinding):
    """An adopted version's object is in another store."""

    s3_path: str


class MissingObject(ArtifactFinding):
    """There is no object for the artifact."""


@dataclass(frozen=True)
class HiddenObject(ArtifactFinding):
    """A delete marker hides the object from who names no version, such as readers of the public recipe."""

    marker: str | None


@dataclass(frozen=True)
class OverwrittenObject(ArtifactFinding):
    """Who names no version, such as readers of the public recipe, gets other bytes than the version's."""

    current: str | None


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


class MissingChecksum(ArtifactFinding):
    """The store has no checksum of the object, and had one when the version was completed."""


@dataclass(frozen=True)
class StrayObjects(Finding):
    """Objects below `models/` that are not the registry's: nothing names them, and `sweep` leaves them."""

    folder: str
    objects: int
    bytes: int
