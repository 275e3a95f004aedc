"""Verifies by the store's own facts what has arrived of an upload."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import (
    ChecksumMismatchError,
    ObjectPredatesUploadError,
    ReusedObjectChangedError,
    SizeMismatchError,
)
from modelkeep.domain.uploads import PendingArtifact, Reused
from modelkeep.domain.values import Digest, digest_of_parts
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, ObjectStore, StoredObject, StoredPart

CLOCK_TOLERANCE: Final = timedelta(minutes=15)
"""How much earlier than its upload an object may be by the store's clock: S3 refuses requests of clocks further off.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactState:
    """One artifact of an upload: its object if it is `stored`, else the valid `parts` that have arrived.

    `is_gone` is whether the multipart object is of no use any more, because it was completed or it was lost;
    `is_recorded` whether its object is that of a version, and was not looked for.
    """

    artifact: PendingArtifact
    stored: StoredObject | None = None
    parts: Sequence[StoredPart] = ()
    is_gone: bool = False
    is_recorded: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether the parts must be sent again, to another multipart object."""
        return self.is_gone and self.stored is None

    @property
    def is_complete(self) -> bool:
        """Whether the object, or every part of it, has arrived."""
        multipart = self.artifact.multipart
        has_all_parts = multipart is not None and len(self.parts) == multipart.part_count
        return self.stored is not None or self.is_recorded or has_all_parts

    @property
    def parts_sha256(self) -> Digest | None:
        """The digest of the digests of the parts; `None` without parts."""
        digests = [part.sha256 for part in self.parts if part.sha256]
        return digest_of_parts(digests) if digests else None

    @property
    def is_withdrawn(self) -> bool:
        """Whether the object that was to be reused is not there any more."""
        return self.artifact.reused is not None and self.stored is None

    def missing(self) -> dict[str, object]:
        """What is missing, for a caller: `{path}`, or `{path, parts}` with the missing part numbers."""
        multipart = self.artifact.multipart
        if multipart is None:
            return {"path": self.artifact.path}
        arrived = {part.number for part in self.parts}
        return {
            "path": self.artifact.path,
            "parts": [number for number in range(1, multipart.part_count + 1) if number not in arrived],
        }


async def inspect(store: ObjectStore, artifact: PendingArtifact) -> ArtifactState:
    """The state of an artifact in the store: valid parts have the size of their number and a checksum."""
    multipart, reused = artifact.multipart, artifact.reused
    if multipart is None:
        version_id = reused.version_id if reused else None
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key, version_id=version_id))
    try:
        parts = await store.list_parts(artifact.key, multipart.id)
    except MultipartGoneError:
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key), is_gone=True)
    valid = [
        part
        for part in parts
        if 1 <= part.number <= multipart.part_count
        and part.size == multipart.size_of(part.number, artifact.size)
        and part.sha256 is not None
    ]
    return ArtifactState(artifact=artifact, parts=valid)


async def complete_multipart(store: ObjectStore, state: ArtifactState) -> ArtifactState:
    """Assemble the object of a complete artifact from its parts; idempotent.

    If the store refuses, because parts have changed meanwhile, the artifact is returned as missing altogether; if it
    will never assemble these, as lost.
    """
    multipart = state.artifact.multipart
    if state.stored or multipart is None:
        return state
    assembled = ArtifactState(artifact=state.artifact)
    try:
        with suppress(MultipartRefusedError):
            await store.complete(state.artifact.key, multipart.id, state.parts)
    except MultipartGoneError:
        assembled = replace(assembled, is_gone=True)
    return replace(assembled, stored=await store.stat(state.artifact.key))


def verify(declared: PendingArtifact, stored: StoredObject, begun_at: datetime) -> Artifact:
    """The artifact of an upload that was begun at a time, if its object is the declared one.

    Raises `SizeMismatchError`, `ChecksumMismatchError`, `ObjectPredatesUploadError`; `ReusedObjectChangedError` for the
    object of an earlier version.
    """
    if declared.reused:
        if stored.size != declared.size or not _has_recorded_bytes(declared, declared.reused, stored):
            raise ReusedObjectChangedError(declared.path, declared.reused.version)
        return _verified(declared, stored)
    if stored.size != declared.size:
        raise SizeMismatchError(declared.path, declared=declared.size, stored=stored.size)
    if not _has_declared_bytes(declared, stored):
        raise ChecksumMismatchError(declared.path)
    if stored.modified_at < begun_at - CLOCK_TOLERANCE:
        raise ObjectPredatesUploadError(declared.path)
    return _verified(declared, stored)


def _verified(declared: PendingArtifact, stored: StoredObject) -> Artifact:
    return Artifact(
        path=declared.path,
        size=declared.size,
        sha256=declared.sha256,
        key=declared.key,
        version_id=stored.version_id,
        parts_sha256=stored.parts_sha256,
        executable=declared.executable,
        extra=declared.extra,
    )


def _has_declared_bytes(declared: PendingArtifact, stored: StoredObject) -> bool:
    """By the digest of the whole; else the object must be that of the parts that were listed before it was made."""
    if stored.sha256 is not None or declared.multipart is None:
        return stored.sha256 == declared.sha256
    noted = declared.multipart.parts_sha256
    return noted is not None and stored.parts_sha256 == noted


def _has_recorded_bytes(declared: PendingArtifact, reused: Reused, stored: StoredObject) -> bool:
    """By its version id, which names these bytes; else by the digest of the whole, or by that of the parts."""
    if reused.version_id is not None:
        return stored.version_id == reused.version_id
    if stored.sha256 is not None:
        return stored.sha256 == declared.sha256
    return stored.parts_sha256 is not None and stored.parts_sha256 == reused.parts_sha256
