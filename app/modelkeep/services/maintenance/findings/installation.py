"""What `init` does and finds."""

from dataclasses import dataclass

from modelkeep.services.maintenance.findings.base import Finding, ModelFinding, VersionFinding


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
