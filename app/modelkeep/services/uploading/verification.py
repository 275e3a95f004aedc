"""Verifies by the store's own facts what has arrived of an upload."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import ChecksumMismatchError, SizeMismatchError
from modelkeep.domain.uploads import PendingArtifact
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, ObjectStore, StoredObject, StoredPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactState:
    """One artifact of an upload: its object if it is `stored`, else the valid `parts` that have arrived."""

    artifact: PendingArtifact
    stored: StoredObject | None = None
    parts: Sequence[StoredPart] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the object, or every part of it, has arrived."""
        multipart = self.artifact.multipart
        return self.stored is not None or (multipart is not None and len(self.parts) == multipart.part_count)

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
    multipart = artifact.multipart
    if multipart is None:
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key))
    try:
        parts = await store.list_parts(artifact.key, multipart.id)
    except MultipartGoneError:
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key))
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

    If the store refuses, because parts have changed meanwhile, the artifact is returned as missing altogether.
    """
    multipart = state.artifact.multipart
    if state.stored or multipart is None:
        return state
    with suppress(MultipartGoneError, MultipartRefusedError):
        await store.complete(state.artifact.key, multipart.id, state.parts)
    return ArtifactState(artifact=state.artifact, stored=await store.stat(state.artifact.key))


def verify(state: ArtifactState, stored: StoredObject) -> Artifact:
    """The artifact, if its object is the declared one. Raises `SizeMismatchError`, `ChecksumMismatchError`."""
    declared = state.artifact
    if stored.size != declared.size:
        raise SizeMismatchError(declared.path, declared=declared.size, stored=stored.size)
    parts = declared.multipart.part_count if declared.multipart else None
    if stored.sha256 != declared.sha256 and (stored.sha256 is not None or parts is None or stored.parts != parts):
        raise ChecksumMismatchError(declared.path)
    return Artifact(
        path=declared.path,
        size=declared.size,
        sha256=declared.sha256,
        key=declared.key,
        version_id=stored.version_id,
        extra=declared.extra,
    )
