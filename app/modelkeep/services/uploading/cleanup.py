"""Removes bytes that the table no longer names; `sweep` finds as orphans what a crash leaves behind."""

from contextlib import suppress

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.models import Version
from modelkeep.domain.uploads import PendingArtifact, Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore


async def abort_multiparts(store: ObjectStore, upload: Upload) -> None:
    """Abort the multipart objects of a dropped upload; `sweep` removes later what the store cannot abort now.

    Whole objects are left to `sweep` too, so that the role of a serving process needs no right to delete objects.
    """
    with suppress(UnavailableError):
        await _abort_all(store, upload)


async def delete_upload_objects(store: ObjectStore, upload: Upload, *, referenced: frozenset[str]) -> None:
    """Delete the parts and objects of a dropped upload, except the objects whose key is `referenced` elsewhere."""
    await _abort_all(store, upload)
    unreferenced = [artifact for artifact in upload.artifacts if artifact.key not in referenced]

    async def delete(artifact: PendingArtifact) -> None:
        await store.delete(artifact.key, version_id=artifact.reused.version_id if artifact.reused else None)

    await gather_limited(delete, unreferenced)


async def delete_version_objects(store: ObjectStore, version: Version, *, referenced: frozenset[str]) -> None:
    """Delete the objects of a purged version, except those whose key is `referenced` elsewhere."""
    unreferenced = [artifact for artifact in version.artifacts if artifact.key not in referenced]
    await gather_limited(lambda artifact: store.delete(artifact.key, version_id=artifact.version_id), unreferenced)


async def _abort_all(store: ObjectStore, upload: Upload) -> None:
    async def abort(artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await store.abort(artifact.key, artifact.multipart.id)

    await gather_limited(abort, upload.artifacts)
