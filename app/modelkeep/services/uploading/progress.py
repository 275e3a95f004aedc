"""How much of uploads has arrived, without a change to them, and in few requests to the store.

One listing for each upload shows its whole objects, and what it reuses is taken for there. The parts of each other
large artifact are listed.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from modelkeep.domain.artifacts import version_prefix
from modelkeep.domain.upload_progress import UploadProgress
from modelkeep.domain.uploads import MAX_ARTIFACTS, PendingArtifact, Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.services.uploading.verification import ArtifactState, inspect
from modelkeep.storage.objects import ObjectStore

MAX_INSPECTED: Final = MAX_ARTIFACTS
"""Large artifacts whose parts are listed at once: as many as one upload may have."""


def inspectable(uploads: Sequence[Upload]) -> Sequence[Upload]:
    """The first of the uploads that can be looked at together, at least one."""
    totals = accumulate(sum(artifact.multipart is not None for artifact in upload.artifacts) for upload in uploads)
    return uploads[: max(1, sum(total <= MAX_INSPECTED for total in totals))]


async def progress_of(store: ObjectStore, uploads: Sequence[Upload]) -> list[UploadProgress]:
    """What has arrived of each upload. Raises `StoreUnavailableError`."""

    async def list_keys(upload: Upload) -> frozenset[str]:
        prefix = version_prefix(upload.model, upload.number)
        return frozenset([found.key async for found in store.list_objects(prefix)])

    async def look(artifact: PendingArtifact) -> ArtifactState:
        return await inspect(store, artifact)

    keys = frozenset[str]().union(*await gather_limited(list_keys, uploads))
    in_parts = [
        artifact
        for upload in uploads
        for artifact in upload.artifacts
        if artifact.multipart is not None and artifact.key not in keys
    ]
    sizes = {state.artifact.key: _arrived_size(state) for state in await gather_limited(look, in_parts)}
    return [_progress(upload, [_size_of(artifact, keys, sizes) for artifact in upload.artifacts]) for upload in uploads]


def _arrived_size(state: ArtifactState) -> int:
    return state.artifact.size if state.stored else sum(part.size for part in state.parts)


def _size_of(artifact: PendingArtifact, keys: frozenset[str], sizes: dict[str, int]) -> int | None:
    """Bytes of an artifact that are there; `None` without any object."""
    return artifact.size if artifact.reused or artifact.key in keys else sizes.get(artifact.key)


def _progress(upload: Upload, sizes: Iterable[int | None]) -> UploadProgress:
    pairs = list(zip(upload.artifacts, sizes, strict=True))
    return UploadProgress(
        upload=upload,
        arrived_count=sum(size == artifact.size for artifact, size in pairs),
        arrived_size=sum(size or 0 for _, size in pairs),
    )
