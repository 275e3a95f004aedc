"""What has arrived of an upload, by the store's own word."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import ChecksumMismatchError, SizeMismatchError
from modelkeep.domain.uploads import PendingArtifact
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, ObjectStore, StoredObject, StoredPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactState:
    """One artifact of an upload: `stored` if its object stands, else the good `parts` that have arrived."""

    artifact: PendingArtifact
    stored: StoredObject | None = None
    parts: Sequence[StoredPart] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is missing."""
        multipart = self.artifact.multipart
        return self.stored is not None or (multipart is not None and len(self.parts) == multipart.part_count)

    def missing(self) -> dict[str, object]:
        """What a caller is told of it: the path, and the parts if it goes up in parts."""
        multipart = self.artifact.multipart
        if multipart is None:
            return {"path": self.artifact.path}
        there = {part.number for part in self.parts}
        return {
            "path": self.artifact.path,
            "parts": [number for number in range(1, multipart.part_count + 1) if number not in there],
        }


async def inspect(store: ObjectStore, artifact: PendingArtifact) -> ArtifactState:
    """See what has arrived of an artifact."""
    multipart = artifact.multipart
    if multipart is None:
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key))
    try:
        parts = await store.list_parts(artifact.key, multipart.id)
    except MultipartGoneError:
        return ArtifactState(artifact=artifact, stored=await store.stat(artifact.key))
    good = [
        part
        for part in parts
        if 1 <= part.number <= multipart.part_count
        and part.size == multipart.size_of(part.number, artifact.size)
        and part.sha256 is not None
    ]
    return ArtifactState(artifact=artifact, parts=good)


async def complete_multipart(store: ObjectStore, arrival: ArtifactState) -> ArtifactState:
    """Make the object of a whole artifact out of its parts, if that has not been done; a repeat finds it done.

    What the store refuses to put together, because parts changed meanwhile, comes back as missing altogether.
    """
    multipart = arrival.artifact.multipart
    if arrival.stored or multipart is None:
        return arrival
    with suppress(MultipartGoneError, MultipartRefusedError):
        await store.complete(arrival.artifact.key, multipart.id, arrival.parts)
    return ArtifactState(artifact=arrival.artifact, stored=await store.stat(arrival.artifact.key))


def verify(arrival: ArtifactState, stored: StoredObject) -> Artifact:
    """Hold the stored object against what was declared. Raises `SizeMismatchError`, `ChecksumMismatchError`."""
    declared = arrival.artifact
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
    )
