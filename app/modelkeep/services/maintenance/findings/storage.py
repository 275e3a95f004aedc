"""What `check` finds of the settings of a table and a bucket on AWS; `init` finds a global table too."""

from dataclasses import dataclass

from modelkeep.services.maintenance.findings.base import Finding


@dataclass(frozen=True)
class TableFinding(Finding):
    """Something about the table's settings."""

    table: str


@dataclass(frozen=True)
class BucketFinding(Finding):
    """Something about the bucket's settings."""

    bucket: str


@dataclass(frozen=True)
class NotChecked(Finding):
    """A setting could not be checked, because the role may not read it; it may be as it must be: no fault."""

    setting: str
    reason: str


@dataclass(frozen=True)
class ExpiryMismatch(TableFinding):
    """Items expire by another attribute than the registry's, or by none."""

    attribute: str | None


class BackupsOff(TableFinding):
    """Point-in-time recovery is off."""


@dataclass(frozen=True)
class EventuallyConsistentReplicas(TableFinding):
    """The table is a global table with eventual consistency (MREC): writers in two regions undo what the other did."""

    regions: tuple[str, ...]


@dataclass(frozen=True)
class StronglyConsistentReplicas(TableFinding):
    """The table is a global table with strong consistency (MRSC), which has no transactions: all writes fail."""

    regions: tuple[str, ...]


@dataclass(frozen=True)
class VersioningOff(BucketFinding):
    """The bucket keeps no versions of new objects: `versioning` is `suspended` or `off`."""

    versioning: str


class UnfinishedUploadsKept(BucketFinding):
    """No lifecycle rule ends unfinished multipart uploads."""


@dataclass(frozen=True)
class PublicAccessAllowed(BucketFinding):
    """Settings that would block public access are off."""

    settings: tuple[str, ...]


class PublicPolicy(BucketFinding):
    """The bucket's policy lets everybody in."""
