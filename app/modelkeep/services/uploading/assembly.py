"""Brings the objects of an upload into being: each whole, from parts that were listed, or with its parts missing.

A multipart object may be gone while there is no object: a lifecycle rule or a person aborted it, or S3 answered 409 to
its completion. Then another is opened and written to the upload. The digest of the parts is written to the upload
before they are assembled, so that whoever finds the object later knows whether it is that of the upload.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from modelkeep.domain.errors import ReusedObjectChangedError, UnavailableError, UploadIncompleteError
from modelkeep.domain.models import require_known_format
from modelkeep.domain.uploads import Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.uploading.verification import ArtifactState, complete_multipart, inspect
from modelkeep.storage.objects import ObjectStore

States = list[ArtifactState]


class Assembly:
    """What has arrived of uploads, and their objects. Several callers may be at one upload at once."""

    def __init__(self, ledger: Ledger, versions: Versions, store: ObjectStore) -> None:
        self._ledger = ledger
        self._versions = versions
        self._store = store

    async def inspect(self, upload: Upload) -> tuple[Upload, States] | None:
        """The upload as it is now, and the state of its artifacts; `None` if it was completed or dropped meanwhile.

        If a multipart object is gone, so that its parts are, the upload has another for the missing parts. Raises
        `NewerFormatError` if that cannot be written.
        """
        current: Upload | None = upload
        while current:
            upload = current
            states = await gather_limited(lambda artifact: inspect(self._store, artifact), upload.artifacts)
            if not any(state.is_gone for state in states):
                return upload, states
            current = await self._current(upload)
            if current == upload:
                if not any(state.is_lost for state in states):
                    return upload, states
                await self._reopen(upload, states)
                current = await self._current(upload)
        return None

    async def complete(self, upload: Upload) -> tuple[Upload, States] | None:
        """Assemble every object, and return it as `stored`; `None` if the upload was completed or dropped meanwhile.

        Raises `ReusedObjectChangedError`, and `UploadIncompleteError` with what is missing.
        """
        current: Upload | None = upload
        while current and (inspected := await self.inspect(current)):
            _require_complete(*inspected)
            if noted := await self._noted(*inspected):
                upload, states = noted
                states = await gather_limited(lambda state: complete_multipart(self._store, state), states)
                if not any(state.is_lost for state in states):
                    _require_complete(upload, states)
                    return upload, states
                await self._reopen(upload, states)
            current = await self._current(upload)
        return None

    async def _current(self, upload: Upload) -> Upload | None:
        return await self._versions.find_upload(upload.model, upload.number)

    async def _noted(self, upload: Upload, states: States) -> tuple[Upload, States] | None:
        """Write the digests of the parts to the upload; `None` if another caller has changed it meanwhile."""
        noted = {
            state.artifact.path: replace(multipart, parts_sha256=state.parts_sha256)
            for state in states
            if (multipart := state.artifact.multipart) and state.parts_sha256 not in (None, multipart.parts_sha256)
        }
        if not noted:
            return upload, states
        changed = upload.with_multiparts(noted)
        if not await self._replace(upload, changed):
            return None
        return changed, [replace(state, artifact=changed.artifact(state.artifact.path)) for state in states]

    async def _reopen(self, upload: Upload, states: States) -> None:
        """Open another multipart object in place of each that is lost, unless another caller has changed the upload.

        The old one is left to `sweep`: a completion of it by another caller may be under way, which is why S3 has
        answered 409, and may succeed yet.
        """
        lost = [
            (state.artifact, multipart) for state in states if state.is_lost and (multipart := state.artifact.multipart)
        ]
        ids = await gather_limited(lambda each: self._store.begin(each[0].key), lost)
        opened = [
            (artifact, replace(old, id=new, parts_sha256=None)) for (artifact, old), new in zip(lost, ids, strict=True)
        ]
        changed = upload.with_multiparts({artifact.path: multipart for artifact, multipart in opened})
        if not await self._replace(upload, changed):
            with suppress(UnavailableError):
                await gather_limited(lambda each: self._store.abort(each[0].key, each[1].id), opened)

    async def _replace(self, upload: Upload, changed: Upload) -> bool:
        """Write the upload, if it is as it was read. Raises `NewerFormatError`."""
        require_known_format(await self._ledger.head(upload.model))
        return await self._versions.replace_upload(upload, changed)


def _require_complete(upload: Upload, states: Sequence[ArtifactState]) -> None:
    for state in states:
        if state.is_withdrawn and state.artifact.reused:
            raise ReusedObjectChangedError(state.artifact.path, state.artifact.reused.version)
    missing = [state.missing() for state in states if not state.is_complete]
    if missing:
        raise UploadIncompleteError(upload.model, upload.number, missing=missing)
