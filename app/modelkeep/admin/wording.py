"""What a person reads of a finding: one sentence for each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from modelkeep.kit.text import format_count, format_size
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.findings import CopyProblem, Finding, MigrationProblem

_INVALID_NAME: Final = "no model can have this name here; its versions cannot be served"
_OTHERS: Final = "others have written it at the destination"

_COPY_PROBLEMS: Final[Mapping[CopyProblem, str]] = {
    CopyProblem.INVALID_KEY: "cannot have its key {key} at the destination",
    CopyProblem.MISSING_AT_SOURCE: "has no bytes at the source",
    CopyProblem.DAMAGED_AT_SOURCE: "is damaged: its bytes at the source do not have SHA-256 {sha256}",
    CopyProblem.OTHER_BYTES_AT_DESTINATION: "cannot be stored: other bytes are at {key} at the destination",
    CopyProblem.VANISHED: "vanished while it was read",
}

_MIGRATION_PROBLEMS: Final[Mapping[MigrationProblem, str]] = {
    MigrationProblem.INVALID_NAME: _INVALID_NAME,
    MigrationProblem.MISSING_HEAD: "it has no head at the source; run `modelkeep init --adopt` there",
    MigrationProblem.CHANGING_AT_SOURCE: "it keeps changing at the source; stop the service there",
    MigrationProblem.CHANGING_AT_DESTINATION: "it keeps changing at the destination; stop the service there",
    MigrationProblem.NEWER_FORMAT: "a newer release wrote it, at the source or there; run that release's `modelkeep`",
    MigrationProblem.VERSIONS_NEEDED: (
        "its head names version(s) {versions} as latest, production (now or before) or alias;"
        " put right at the source what is said of them above, or delete them there"
    ),
    MigrationProblem.DESTINATION_AHEAD: (
        f"{_OTHERS}: it is at generation {{generation}}, the source at {{source_generation}}"
    ),
    MigrationProblem.DESTINATION_WITHOUT_HISTORY: f"{_OTHERS}: it has versions there, and no history",
    MigrationProblem.DIFFERENT_EVENT: f"{_OTHERS}: event {{generation}} there is another than at the source",
    MigrationProblem.UNKNOWN_EVENT: f"{_OTHERS}: event {{generation}} there is not at the source",
    MigrationProblem.UNKNOWN_VERSION: f"{_OTHERS}: version {{versions}} there is not of the source",
    MigrationProblem.CHANGED_DURING_COPY: f"{_OTHERS} meanwhile",
}


def sentence(finding: Finding) -> str:
    """The finding in one line."""
    words = _SENTENCES[type(finding)]
    template = words if isinstance(words, str) else words(finding)
    return template.format(**{field.name: _text(getattr(finding, field.name)) for field in fields(finding)})


def faults_among(found: Sequence[Finding]) -> int:
    """How many findings of a check are faults: what could not be checked may be as it must be."""
    return sum(not isinstance(finding, findings.NotChecked) for finding in found)


def check_summary(found: Sequence[Finding]) -> str:
    """The result of a check in a few words."""
    faults = faults_among(found)
    unchecked = f", {len(found) - faults} setting(s) not checked" if faults < len(found) else ""
    return (f"{faults} fault(s)" if faults else "no fault" if unchecked else "clean") + unchecked


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _version_not_copied(finding: findings.VersionNotCopied) -> str:
    problem = _COPY_PROBLEMS[finding.problem]
    if finding.sha256 is None:
        problem = problem.replace("SHA-256 {sha256}", "the SHA-256 that the store reports")
    return f"{{model}} {{version}}: '{{path}}' {problem}; the version is not moved"


def _model_migrated(finding: findings.ModelMigrated) -> str:
    counts = [format_count(finding.versions, "version")]
    counts += [f"{finding.trashed} in the trash"] if finding.trashed else []
    counts += [_copied(finding), format_count(finding.events, "event")]
    return "{model}: " + ", ".join(counts) + ("" if finding.changed else "; nothing had changed")


def _migration_ended(finding: findings.MigrationEnded) -> str:
    return f"{{migrated}} of {{models}} model(s) {'movable' if finding.dry_run else 'moved'}, {_copied(finding)}"


def _copied(finding: findings.ModelMigrated | findings.MigrationEnded) -> str:
    copied = f"{format_count(finding.objects, 'object')} {'to copy' if finding.dry_run else 'copied'}"
    return f"{copied} ({format_size(finding.bytes)})" if finding.objects else copied


_SENTENCES: Final[Mapping[type[Finding], str | Callable[[Any], str]]] = {
    findings.ExpiringItem: "{partition} {sort} carries an expiry and would vanish; remove its attribute `ttl`",
    findings.InvalidModelName: f"{{model}}: {_INVALID_NAME}",
    findings.NewerFormat: (
        "{model}: stored in format {format}, of which this release knows {supported}; run `check` of a newer release"
    ),
    findings.MissingHead: "{model}: has no head; run `modelkeep init --adopt`",
    findings.DeletedModelWithVersions: "{model}: is deleted and still has versions",
    findings.LatestVersionMismatch: "{model}: latest is {recorded}, the newest version is {newest}",
    findings.ProductionMismatch: "{model}: production is {version}, which does not exist or is in another stage",
    findings.ProductionConflict: "{model}: version {version} claims production, the head names {production}",
    findings.DanglingAlias: "{model}: alias '{alias}' names version {version}, which does not exist",
    findings.DanglingProductionHistory: "{model}: version {version} is in the production history and does not exist",
    findings.DuplicateNumber: "{model}: number {version} is in more than one place",
    findings.UnissuedNumber: "{model}: number {version} was never given out: the next one is {next_version}",
    findings.UnissuedObjects: (
        "{model}: number {version} has {objects} object(s) and was never given out: the next one is {next_version}"
    ),
    findings.MissingEvent: "{model}: event {generation} is missing",
    findings.GenerationMismatch: "{model}: the history ends at {history}, the head is at {head}",
    findings.CommitMismatch: "{model}: version {version} has commit {recorded}, its completion has {completed}",
    findings.ManifestMismatch: "{model}: version {version} names other files than its commit {commit}",
    findings.ForeignObject: "{model}: version {version} '{path}' is at {s3_path}, which is not in this store",
    findings.MissingObject: "{model}: version {version} '{path}' has no object at {key}",
    findings.HiddenObject: (
        "{model}: version {version} '{path}' is hidden by a delete marker: readers of the public recipe find nothing at"
        " {key}. Delete the marker: `aws s3api delete-object` with that key and `--version-id {marker}`"
    ),
    findings.OverwrittenObject: (
        "{model}: version {version} '{path}' lies below other bytes, which readers of the public recipe get at {key}."
        " Delete these: `aws s3api delete-object` with that key and `--version-id {current}`"
    ),
    findings.SizeMismatch: (
        "{model}: version {version} '{path}' has {stored} bytes in the store, {recorded} in the table"
    ),
    findings.ChecksumMismatch: (
        "{model}: version {version} '{path}' has other bytes in the store than the table records"
    ),
    findings.StrayObjects: (
        "{folder}: {objects} object(s) of {bytes} bytes are not the registry's: no version, upload or trash names them,"
        " and `sweep` leaves them; move them out, or delete them"
    ),
    findings.MissingChecksum: (
        "{model}: version {version} '{path}' has no checksum at {key} any more, by which it was verified; download it,"
        " which compares its SHA-256, and look who wrote the object (or whether the role lacks kms:Decrypt)"
    ),
    findings.NotChecked: "{setting} could not be checked: {reason}",
    findings.ExpiryMismatch: (
        "table '{table}': items expire by attribute {attribute}, not by 'ttl', so idempotency keys and tokens stay;"
        " switch any other expiry off, and run `modelkeep init`"
    ),
    findings.BackupsOff: "table '{table}': point-in-time recovery is off; run `modelkeep init`",
    findings.EventuallyConsistentReplicas: (
        "table '{table}': is replicated to {regions} with eventual consistency (MREC): the last writer of an item wins,"
        " and transactions are not atomic across regions. If two regions write, two versions may be in production and"
        " acknowledged changes are lost: let one region write and serve, or remove the replicas"
    ),
    findings.StronglyConsistentReplicas: (
        "table '{table}': is replicated to {regions} with strong consistency (MRSC), which has neither transactions nor"
        " expiry: no change can be written; set MODELKEEP_TABLE to a table of one region"
    ),
    findings.VersioningOff: (
        "bucket '{bucket}': versioning is {versioning}, so that a deleted object is lost at once, and no URL names the"
        " bytes that were verified; run `modelkeep init`"
    ),
    findings.UnfinishedUploadsKept: (
        "bucket '{bucket}': no lifecycle rule ends unfinished uploads below models/, which cost as much as objects; run"
        " `modelkeep init`, or enable its rule"
    ),
    findings.PublicAccessAllowed: (
        "bucket '{bucket}': public access is not blocked ({settings} off); run `modelkeep init`"
    ),
    findings.PublicPolicy: "bucket '{bucket}': its policy is public; take out what names everybody",
    findings.UnmarkedBucket: (
        "{bucket} has no mark of the table that owns it, so another table may use it too; run `modelkeep init` once"
    ),
    findings.SetupStep: "{detail}",
    findings.DeletedModelSkipped: "{model}: was deleted here; {versions} version(s) written since are not served",
    findings.ProductionConflictResolved: (
        "{model}: version(s) {claimed} claimed production; {production} has it, {archived} archived"
    ),
    findings.ModelAdopted: "{model}: {versions} version(s), production is {production}",
    findings.VersionWithoutObject: "{model} {version}: it names no object and cannot be served",
    findings.VersionVerified: "{model} {version}: verified, SHA-256 {sha256}",
    findings.DeletionFinished: "{model}: finished a deletion that was interrupted",
    findings.ExpiredUpload: "{model} {version}: expired upload",
    findings.PurgedVersion: "{model} {version}: purged, {size} bytes",
    findings.OrphanedObject: "{key}: orphaned object",
    findings.OrphanedParts: "{key}: orphaned parts",
    findings.ExpiredItems: "{count} expired idempotency key(s) and token(s)",
    findings.InterruptedFiles: "{count} file(s) of interrupted uploads",
    findings.OpenUpload: "{model}: upload {version} is open and stays behind; the number stays spent",
    findings.ForeignObjectNotCopied: (
        "{model} {version}: is at {s3_path}, not in the source's store; its bytes stay there"
    ),
    findings.VersionNotCopied: _version_not_copied,
    findings.VersionTooLarge: (
        "{model} {version}: its item would have {size} bytes at the destination, where {limit} are allowed; the version"
        " is not moved. Shorten its description, metrics or tags at the source"
    ),
    findings.ModelNotMigrated: lambda finding: f"{{model}}: not moved: {_MIGRATION_PROBLEMS[finding.problem]}",
    findings.ModelMigrated: _model_migrated,
    findings.MigrationEnded: _migration_ended,
}
