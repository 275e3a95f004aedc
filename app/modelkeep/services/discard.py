"""Remove the bytes of what the table no longer names; what is left behind after a crash, `sweep` finds as orphans."""

from contextlib import suppress

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.models import Version
from modelkeep.domain.uploads import PendingArtifact, Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore


async def drop_parts(store: ObjectStore, upload: Upload) -> None:
    """Drop the open multipart objects of an upload that was given up; what storage will not drop now, `sweep` will.

    Whole objects stay for `sweep` too: a service that serves needs no right to delete any, and so can never lose one.
    """
    with suppress(UnavailableError):
        await _abort_all(store, upload)


async def _abort_all(store: ObjectStore, upload: Upload) -> None:
    async def drop(artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await store.abort(artifact.key, artifact.multipart.id)

    await gather_limited(drop, upload.artifacts)


async def discard_upload(store: ObjectStore, upload: Upload, *, kept: frozenset[str]) -> None:
    """Drop the parts and the objects that an upload has brought, but none whose key is in `kept`."""
    await _abort_all(store, upload)
    unshared = [artifact for artifact in upload.artifacts if artifact.key not in kept]
    await gather_limited(lambda artifact: store.delete(artifact.key), unshared)


async def discard_version(store: ObjectStore, version: Version, *, kept: frozenset[str]) -> None:
    """Remove a purged version's objects, but none whose key is in `kept`: another version points at it."""
    unshared = [artifact for artifact in version.artifacts if artifact.key not in kept]
    await gather_limited(lambda artifact: store.delete(artifact.key, version_id=artifact.version_id), unshared)
