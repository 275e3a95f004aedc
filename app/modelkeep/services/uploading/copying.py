"""Makes a version of the objects of another one, of the same model or of another: no byte moves.

The new manifest names the source's objects. They are not removed while any version, upload or trash names them, and the
change that names them is written only if the source is live at that instant: see `services.maintenance.sweeper`.
"""

from dataclasses import replace
from functools import partial

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact, Manifest, manifest_of, s3_path_of
from modelkeep.domain.changes import Copy, Decision
from modelkeep.domain.errors import DigestUnknownError, ReusedObjectChangedError, VersionNotFoundError
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.uploads import PendingArtifact, Reused
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller
from modelkeep.services.uploading.allocation import free_number
from modelkeep.services.uploading.verification import verify
from modelkeep.storage.objects import ObjectStore


class Copying:
    """Copies of versions."""

    def __init__(self, ledger: Ledger, versions: Versions, store: ObjectStore) -> None:
        self._ledger = ledger
        self._versions = versions
        self._store = store

    async def copy(self, model: str, request: Copy, caller: Caller) -> Version:
        """Make the next version of a model of the objects of another version, each of which is looked at once.

        Raises `ModelNotFoundError` and `VersionNotFoundError` of the source, also for a repeat under the same key after
        the copy was deleted; `DigestUnknownError`, `ReusedObjectChangedError`, `ModelBeingDeletedError`,
        `MetadataTooLargeError`.
        """
        caller.require(Action.MODEL_READ, request.model)
        operation = caller.operation(Action.VERSION_UPLOAD, model)
        manifest = await self._verified(await self._source(request))

        async def decide(head: Head | None) -> Decision[Version]:
            source = await self._source(request)
            number = await free_number(self._store, model, changes.next_version(head))
            s3_path = s3_path_of(model, number, manifest, self._store.uri)
            return changes.copy(
                model, head, source, request, operation, number=number, manifest=manifest, s3_path=s3_path
            )

        return await self._ledger.apply(model, operation, decide, on_duplicate=partial(self._copied, model))

    async def _source(self, request: Copy) -> Version:
        existing(await self._ledger.head(request.model), request.model)
        return await self._require(request.model, request.number)

    async def _copied(self, model: str, number: int | None) -> Version:
        head = existing(await self._ledger.head(model), model)
        return (await self._require(model, number or 0)).with_head(head)

    async def _require(self, model: str, number: int) -> Version:
        version = await self._versions.find(model, number)
        if version is None:
            raise VersionNotFoundError(model, str(number))
        return version

    async def _verified(self, source: Version) -> Manifest:
        async def verified(artifact: Artifact) -> Artifact:
            declared = _declared(source, artifact)
            stored = await self._store.stat(artifact.key, version_id=artifact.version_id)
            if stored is None:
                raise ReusedObjectChangedError(artifact.path, source.number)
            return replace(verify(declared, stored, source.created_at), extra=artifact.extra)

        return manifest_of(await gather_limited(verified, source.artifacts))


def _declared(source: Version, artifact: Artifact) -> PendingArtifact:
    """The artifact as one of an upload that reuses its object. Raises `DigestUnknownError`."""
    if artifact.size is None or artifact.sha256 is None:
        raise DigestUnknownError(source.model, source.number, artifact.path)
    return PendingArtifact(
        path=artifact.path,
        size=artifact.size,
        sha256=artifact.sha256,
        key=artifact.key,
        executable=artifact.executable,
        reused=Reused(version=source.number, version_id=artifact.version_id, parts_sha256=artifact.parts_sha256),
    )
