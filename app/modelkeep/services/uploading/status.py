"""How an upload stands: what has arrived, what is missing, and the URLs for that."""

from datetime import timedelta

from modelkeep.domain.models import Version
from modelkeep.domain.uploads import ArtifactStatus, PartsStatus, PendingArtifact, Upload, UploadStatus
from modelkeep.kit.concurrency import gather_limited
from modelkeep.services.uploading.verification import ArtifactState
from modelkeep.storage.objects import ObjectStore


async def upload_status(
    store: ObjectStore, upload: Upload, arrivals: list[ArtifactState], ttl: timedelta
) -> UploadStatus:
    """Describe an upload, with fresh URLs for what is missing."""

    async def describe(arrival: ArtifactState) -> ArtifactStatus:
        return await _describe(store, arrival, ttl)

    artifacts = await gather_limited(describe, arrivals)
    return UploadStatus(
        model=upload.model, number=upload.number, expires_at=upload.expires_at, artifacts=tuple(artifacts)
    )


def version_status(version: Version) -> UploadStatus:
    """Describe an upload that has become a version."""
    artifacts = tuple(
        ArtifactStatus(path=artifact.path, size=artifact.size, sha256=artifact.sha256, state="arrived")
        for artifact in version.artifacts
    )
    return UploadStatus(model=version.model, number=version.number, expires_at=None, artifacts=artifacts)


async def _describe(store: ObjectStore, arrival: ArtifactState, ttl: timedelta) -> ArtifactStatus:
    artifact = arrival.artifact
    url = None
    if not arrival.is_complete and artifact.multipart is None:
        url = await store.presign_put(artifact.key, size=artifact.size, sha256=artifact.sha256, ttl=ttl)
    return ArtifactStatus(
        path=artifact.path,
        size=artifact.size,
        sha256=artifact.sha256,
        state="arrived" if arrival.is_complete else "missing",
        upload=url,
        multipart=_parts(artifact, arrival),
    )


def _parts(artifact: PendingArtifact, arrival: ArtifactState) -> PartsStatus | None:
    multipart = artifact.multipart
    if multipart is None:
        return None
    everything = tuple(range(1, multipart.part_count + 1))
    return PartsStatus(
        part_size=multipart.part_size,
        part_count=multipart.part_count,
        parts_done=everything if arrival.stored else tuple(part.number for part in arrival.parts),
    )
