"""Uploads: registrations that are not complete yet, and how their artifacts are cut into parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from modelkeep.domain.artifacts import Manifest, commit_of
from modelkeep.domain.errors import ArtifactNotFoundError, ArtifactTooLargeError, TooManyArtifactsError
from modelkeep.domain.events import Operation
from modelkeep.domain.frameworks import infer_framework
from modelkeep.domain.models import Version
from modelkeep.domain.values import Digest, PresignedUrl, Stage

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
MAX_ARTIFACTS: Final = 1_000
MAX_EMPTY_FOLDERS: Final = 1_000
MAX_METRICS: Final = 200
MAX_REUSE_FROM: Final = 8
MAX_TAGS: Final = 64
MAX_VERSION_SIZE: Final = 5 * 1024 * GIB
MAX_PARTS: Final = 1_000
MIN_PART_SIZE: Final = 64 * MIB
MAX_PART_SIZE: Final = 5 * GIB
MAX_PUT_SIZE: Final = 5 * GIB
"""S3's limit for one PUT and for one part: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An artifact as the caller declares it."""

    path: str
    size: int
    sha256: Digest
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The request that begins an upload. `multipart` overrides the threshold for all artifacts.

    A framework that is not given is inferred from the paths. With `reuse`, bytes that the latest version, the
    production version or one of `reuse_from` holds are not sent again. `run_id` and `source` are what the caller says
    of where the version comes from: the run that made it, an address.
    """

    artifacts: Sequence[Declared]
    empty_folders: Sequence[str] = ()
    reuse: bool = True
    reuse_from: Sequence[int] = ()
    framework: str | None = None
    metrics: Mapping[str, Decimal] = field(default_factory=dict)
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    source: str | None = None
    multipart: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """A multipart upload of one artifact: parts of `part_size` bytes, the last one shorter.

    `parts_sha256` is the digest of the digests of the parts that an object was to be made of, once it was to be made.
    """

    id: str
    part_size: int
    part_count: int
    parts_sha256: Digest | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def size_of(self, number: int, total: int) -> int:
        """Bytes of part `number` (from 1) of an artifact of `total` bytes."""
        return min(self.part_size, total - (number - 1) * self.part_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """The object of an earlier version that holds the bytes of an artifact: what is recorded of it, beside its key."""

    version: int
    version_id: str | None = None
    parts_sha256: Digest | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingArtifact:
    """An artifact of an upload: declared, with the key that its object will have, or has as that of another version."""

    path: str
    size: int
    sha256: Digest
    key: str
    executable: bool = False
    multipart: Multipart | None = None
    reused: Reused | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A reserved version number, until the upload is completed, abandoned or expired.

    `revision` grows by one with each change of its multipart uploads; one that an earlier release began has 0. `extra`
    holds attributes that a newer release wrote, as in a pending artifact and its multipart upload.
    """

    model: str
    number: int
    artifacts: tuple[PendingArtifact, ...]
    framework: str
    metrics: Mapping[str, Decimal]
    description: str
    tags: Mapping[str, str]
    created_at: datetime
    created_by: str
    expires_at: datetime
    run_id: str | None = None
    source: str | None = None
    empty_folders: tuple[str, ...] = ()
    framework_inferred: bool = False
    revision: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_multiparts(self, multiparts: Mapping[str, Multipart]) -> "Upload":
        """The next revision, with these multipart uploads of the artifacts with these paths."""
        artifacts = tuple(
            replace(artifact, multipart=multiparts.get(artifact.path, artifact.multipart))
            for artifact in self.artifacts
        )
        return replace(self, artifacts=artifacts, revision=self.revision + 1)

    def artifact(self, path: str) -> PendingArtifact:
        """The artifact with this path. Raises `ArtifactNotFoundError`."""
        for artifact in self.artifacts:
            if artifact.path == path:
                return artifact
        raise ArtifactNotFoundError(self.model, self.number, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsStatus:
    """The parts of an artifact, and which have arrived."""

    part_size: int
    part_count: int
    parts_done: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactStatus:
    """The state of one artifact; a missing one has either an upload URL or parts.

    `reused_from` is the earlier version whose object it has.
    """

    path: str
    size: int | None
    sha256: Digest | None
    state: Literal["missing", "arrived"]
    upload: PresignedUrl | None = None
    multipart: PartsStatus | None = None
    reused_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStatus:
    """The state of an upload; once it is a version, everything has arrived and `expires_at` is `None`."""

    model: str
    number: int
    expires_at: datetime | None
    artifacts: tuple[ArtifactStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPart:
    """A part number, and the URL that uploads the part."""

    number: int
    url: PresignedUrl


def check_limits(registration: Registration) -> None:
    """Raise `TooManyArtifactsError` or `ArtifactTooLargeError` if a registration is over a limit."""
    artifacts = registration.artifacts
    if len(artifacts) > MAX_ARTIFACTS:
        raise TooManyArtifactsError(count=len(artifacts), limit=MAX_ARTIFACTS)
    limit = MAX_PUT_SIZE if registration.multipart is False else MAX_PARTS * MAX_PART_SIZE
    for artifact in artifacts:
        if artifact.size > limit:
            raise ArtifactTooLargeError(path=artifact.path, size=artifact.size, limit=limit)
    total = sum(artifact.size for artifact in artifacts)
    if total > MAX_VERSION_SIZE:
        raise ArtifactTooLargeError(path=None, size=total, limit=MAX_VERSION_SIZE)


def needs_multipart(artifact: Declared, *, threshold: int, requested: bool | None) -> bool:
    """Whether an artifact is uploaded in parts: as requested, or above the threshold in bytes; never an empty one."""
    return artifact.size > 0 and (artifact.size > threshold if requested is None else requested)


def plan_parts(multipart_id: str, size: int) -> Multipart:
    """Cut `size` bytes (at least 1) into at most 1,000 parts of at least 64 MiB, but for the last."""
    part_size = max(MIN_PART_SIZE, -(-size // MAX_PARTS))
    return Multipart(id=multipart_id, part_size=part_size, part_count=-(-size // part_size))


def reserve(
    model: str,
    number: int,
    registration: Registration,
    artifacts: tuple[PendingArtifact, ...],
    operation: Operation,
    *,
    ttl: timedelta,
) -> Upload:
    """The upload of a registration under a version number, begun by this operation; it expires after `ttl`."""
    return Upload(
        model=model,
        number=number,
        artifacts=artifacts,
        framework=registration.framework or infer_framework(artifact.path for artifact in artifacts),
        framework_inferred=registration.framework is None,
        metrics=registration.metrics,
        description=registration.description,
        tags=registration.tags,
        run_id=registration.run_id,
        source=registration.source,
        created_at=operation.at,
        created_by=operation.actor,
        expires_at=operation.at + ttl,
        empty_folders=tuple(sorted(registration.empty_folders)),
    )


def completed(upload: Upload, manifest: Manifest, operation: Operation, *, s3_path: str) -> Version:
    """The version that an upload becomes by this operation, in staging; `manifest` is what the store confirmed.

    Attributes of the upload that this release does not know become attributes of the version under the same names.
    """
    return Version(
        model=upload.model,
        number=upload.number,
        commit=commit_of(upload.model, upload.number, manifest, upload.empty_folders),
        stage=Stage.STAGING,
        s3_path=s3_path,
        framework=upload.framework,
        framework_inferred=upload.framework_inferred,
        metrics=upload.metrics,
        description=upload.description,
        tags=upload.tags,
        run_id=upload.run_id,
        source=upload.source,
        artifacts=manifest,
        created_at=operation.at,
        created_by=operation.actor,
        stage_changed_at=operation.at,
        stage_changed_by=operation.actor,
        empty_folders=upload.empty_folders,
        registry_extra=upload.extra,
    )
