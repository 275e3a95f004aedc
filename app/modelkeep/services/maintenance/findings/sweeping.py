"""What `sweep` does."""

from dataclasses import dataclass

from modelkeep.services.maintenance.findings.base import Finding, ModelFinding, VersionFinding


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
