"""The status of an upload: what has arrived, what is missing, and URLs for what is missing."""

from datetime import timedelta

from modelkeep.domain.models import Version
from modelkeep.domain.uploads import ArtifactStatus, PartsStatus, PendingArtifact, Upload, UploadStatus
from modelkeep.kit.concurrency import gather_limited
from modelkeep.services.uploading.verification import ArtifactState
from modelkeep.storage.objects import ObjectStore


async def upload_status(
    store: ObjectStore, upload: Upload, states: list[ArtifactState], ttl: timedelta
) -> UploadStatus:
    """The status of an upload, with fresh URLs for what is missing."""

    async def describe(state: ArtifactState) -> ArtifactStatus:
        return await _describe(store, state, ttl)

    artifacts = await gather_limited(describe, states)
    return UploadStatus(
        model=upload.model, number=upload.number, expires_at=upload.expires_at, artifacts=tuple(artifacts)
    )


def version_status(version: Version) -> UploadStatus:
    """The status of an upload that has become this version."""
    artifacts = tuple(
        ArtifactStatus(path=artifact.path, size=artifact.size, sha256=artifact.sha256, state="arrived")
        for artifact in version.artifacts
    )
    return UploadStatus(model=version.model, number=version.number, expires_at=None, artifacts=artifacts)


async def _describe(store: ObjectStore, state: ArtifactState, ttl: timedelta) -> ArtifactStatus:
    artifact = state.artifact
    url = None
    if not state.is_complete and artifact.multipart is None and artifact.reused is None:
        url = await store.presign_put(artifact.key, size=artifact.size, sha256=artifact.sha256, ttl=ttl)
    return ArtifactStatus(
        path=artifact.path,
        size=artifact.size,
        sha256=artifact.sha256,
        state="arrived" if state.is_complete else "missing",
        upload=url,
        multipart=_parts(artifact, state),
        reused_from=artifact.reused.version if artifact.reused else None,
    )


def _parts(artifact: PendingArtifact, state: ArtifactState) -> PartsStatus | None:
    multipart = artifact.multipart
    if multipart is None:
        return None
    all_parts = tuple(range(1, multipart.part_count + 1))
    return PartsStatus(
        part_size=multipart.part_size,
        part_count=multipart.part_count,
        parts_done=all_parts if state.stored else tuple(part.number for part in state.parts),
    )
