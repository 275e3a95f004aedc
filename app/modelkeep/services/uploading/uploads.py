"""Begins, describes, completes and abandons uploads, and presigns their parts."""

from collections.abc import Mapping, Sequence

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import manifest_of, s3_path_of
from modelkeep.domain.changes import Change, Copy, Decision, Unchanged
from modelkeep.domain.errors import (
    InvalidRequestError,
    ModelBeingDeletedError,
    NotMultipartError,
    OutcomeUnknownError,
    RegistryError,
    UploadNotFoundError,
    VersionConflictError,
)
from modelkeep.domain.events import Operation
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.models import Head, Version, existing, require_known_format
from modelkeep.domain.upload_progress import UploadProgress
from modelkeep.domain.uploads import (
    PendingArtifact,
    Registration,
    SignedPart,
    Upload,
    UploadStatus,
    check_limits,
    completed,
    reserve,
)
from modelkeep.domain.values import Digest
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.pages import Page
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller
from modelkeep.services.uploading.allocation import ObjectAllocation
from modelkeep.services.uploading.assembly import Assembly
from modelkeep.services.uploading.cleanup import abort_multiparts
from modelkeep.services.uploading.copying import Copying
from modelkeep.services.uploading.progress import inspectable, progress_of
from modelkeep.services.uploading.status import upload_status, version_status
from modelkeep.services.uploading.verification import ArtifactState, verify
from modelkeep.storage.objects import ObjectStore


class UploadService:
    """Uploads, from a registration to a complete version."""

    def __init__(self, ledger: Ledger, versions: Versions, store: ObjectStore, limits: ServiceLimits) -> None:
        self._ledger = ledger
        self._versions = versions
        self._store = store
        self._assembly = Assembly(ledger, versions, store)
        self._copying = Copying(ledger, versions, store)
        self._limits = limits

    async def register(self, model: str, request: Registration | Copy, caller: Caller) -> UploadStatus:
        """Begin an upload, or make a version of another one's objects, which is complete.

        Raises what `begin` raises, or `Copying.copy`.
        """
        if isinstance(request, Copy):
            return version_status(await self._copying.copy(model, request, caller))
        return await self.begin(model, request, caller)

    async def begin(self, model: str, registration: Registration, caller: Caller) -> UploadStatus:
        """Reserve the next version number whose keys have no objects, and presign the upload of its artifacts.

        Raises `TooManyArtifactsError`, `ArtifactTooLargeError`, `MetadataTooLargeError`, `ModelBeingDeletedError`;
        `UploadNotFoundError` for a repeat under the same key after the upload was abandoned or has expired.
        """
        operation = caller.operation(Action.VERSION_UPLOAD, model)
        check_limits(registration)
        allocation = ObjectAllocation(self._store, model, registration, threshold=self._limits.multipart_threshold)

        async def decide(head: Head | None) -> Decision[UploadStatus]:
            if head and head.deletion_in_progress:
                raise ModelBeingDeletedError(model)
            lenders = await self._lenders(head, registration) if head else []
            number, artifacts = await allocation.from_number(changes.next_version(head), lenders)
            upload = reserve(model, number, registration, artifacts, operation, ttl=self._limits.upload_ttl)
            begun = changes.begin(head, upload, operation)
            status = await self._fresh_status(upload)
            return Change(
                head=begun.head, events=begun.events, item_changes=begun.item_changes, result=status, version=number
            )

        async def on_duplicate(number: int | None) -> UploadStatus:
            await allocation.release()
            return await self.status(model, number or 0, caller)

        try:
            return await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)
        except OutcomeUnknownError:
            raise
        except RegistryError:
            await allocation.release()
            raise

    async def list(self, model: str, caller: Caller, *, cursor: str | None, limit: int) -> Page[UploadProgress]:
        """Uploads and how much of each has arrived, newest first, also of those that have expired.

        It changes none of them, and signs nothing. A page is short if its uploads have more than 1,000 large artifacts.
        Raises `ModelNotFoundError`, `InvalidCursorError`.
        """
        caller.require(Action.MODEL_READ, model)
        existing(await self._ledger.head(model), model)
        scope = f"uploads {model}"
        page = await self._versions.list_uploads(model, scope=scope, cursor=cursor, limit=limit)
        uploads = inspectable(page.items)
        is_cut = len(uploads) < len(page.items)
        next_cursor = cursors.encode(scope, str(uploads[-1].number)) if is_cut else page.next_cursor
        return Page(await progress_of(self._store, uploads), next_cursor)

    async def status(self, model: str, number: int, caller: Caller) -> UploadStatus:
        """What has arrived and what is missing, with fresh URLs for that.

        Parts that are lost are missing, of another multipart upload. Raises `UploadNotFoundError`.
        """
        caller.require(Action.VERSION_UPLOAD, model)
        upload = await self._versions.find_upload(model, number)
        inspected = await self._assembly.inspect(upload) if upload else None
        if inspected is None:
            return version_status(await self._completed(model, number))
        return await upload_status(self._store, *inspected, self._limits.upload_url_ttl)

    async def presign_parts(
        self, model: str, number: int, path: str, parts: Mapping[int, Digest], caller: Caller
    ) -> tuple[SignedPart, ...]:
        """Presign a URL for each part number, for exactly the bytes with that digest.

        Raises `UploadNotFoundError`, `ArtifactNotFoundError`, `NotMultipartError`, `InvalidRequestError`.
        """
        caller.require(Action.VERSION_UPLOAD, model)
        artifact = await self._pending_artifact(model, number, path)
        multipart = artifact.multipart
        if multipart is None:
            raise NotMultipartError(model, number, path)
        if max(parts) > multipart.part_count:
            message = f"'{path}' has parts 1 to {multipart.part_count}"
            raise InvalidRequestError([{"location": "body.parts", "message": message}])

        async def sign(part: int) -> SignedPart:
            url = await self._store.presign_part(
                artifact.key,
                multipart.id,
                part,
                size=multipart.size_of(part, artifact.size),
                sha256=parts[part],
                ttl=self._limits.upload_url_ttl,
            )
            return SignedPart(number=part, url=url)

        return tuple(await gather_limited(sign, parts))

    async def complete(self, model: str, number: int, caller: Caller) -> Version:
        """Verify that every artifact is stored as declared, and create the version. Idempotent.

        Raises `ModelNotFoundError`, `UploadNotFoundError`, `UploadIncompleteError` with what is missing,
        `SizeMismatchError`, `ChecksumMismatchError`, `ObjectPredatesUploadError`, `ReusedObjectChangedError`.
        """
        operation = caller.operation(Action.VERSION_UPLOAD, model)
        upload = await self._versions.find_upload(model, number)
        if upload:
            require_known_format(await self._ledger.head(model))
        version = await self._verified(upload, operation) if upload else None

        async def decide(head: Head | None) -> Decision[Version]:
            live = existing(head, model)
            if upload is None or version is None or await self._versions.find_upload(model, number) is None:
                return Unchanged(result=(await self._completed(model, number)).with_head(live), version=number)
            if await self._versions.find(model, number):
                raise VersionConflictError(model, number)
            return changes.complete(live, upload, version, operation)

        return await self._ledger.apply(model, operation, decide, on_duplicate=lambda _: self._completed(model, number))

    async def abandon(self, model: str, number: int, caller: Caller) -> None:
        """Drop an upload and its parts; its number is not given again.

        Raises `ModelNotFoundError`, `UploadNotFoundError`.
        """
        operation = caller.operation(Action.VERSION_UPLOAD, model)

        async def decide(head: Head | None) -> Decision[Upload | None]:
            live = existing(head, model)
            upload = await self._versions.find_upload(model, number)
            if upload is None:
                raise UploadNotFoundError(model, number)
            return changes.drop_upload(live, upload, operation)

        async def on_duplicate(_: int | None) -> Upload | None:
            return None

        dropped = await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)
        if dropped:
            await abort_multiparts(self._store, dropped)

    async def _lenders(self, head: Head, registration: Registration) -> Sequence[Version]:
        """The live versions whose bytes a registration may take; the head moves when one is deleted."""
        if not registration.reuse:
            return []
        named = [*registration.reuse_from, head.latest_version, head.production_version]
        numbers = list(dict.fromkeys(number for number in named if number is not None))
        found = await self._versions.find_many(head.model, numbers) if numbers else []
        return [version for version in found if version]

    async def _verified(self, upload: Upload, operation: Operation) -> Version | None:
        """The version that the upload becomes; `None` if it was completed or dropped meanwhile."""
        assembled = await self._assembly.complete(upload)
        if assembled is None:
            return None
        upload, states = assembled
        artifacts = manifest_of(
            verify(state.artifact, state.stored, upload.created_at) for state in states if state.stored
        )
        s3_path = s3_path_of(upload.model, upload.number, artifacts, self._store.uri)
        return completed(upload, artifacts, operation, s3_path=s3_path)

    async def _completed(self, model: str, number: int) -> Version:
        version = await self._versions.find(model, number)
        head = await self._ledger.head(model)
        if version is None or head is None:
            raise UploadNotFoundError(model, number)
        return version.with_head(head)

    async def _pending_artifact(self, model: str, number: int, path: str) -> PendingArtifact:
        upload = await self._versions.find_upload(model, number)
        if upload is None:
            raise UploadNotFoundError(model, number)
        return upload.artifact(path)

    async def _fresh_status(self, upload: Upload) -> UploadStatus:
        states = [
            ArtifactState(artifact=artifact, is_recorded=artifact.reused is not None) for artifact in upload.artifacts
        ]
        return await upload_status(self._store, upload, states, self._limits.upload_url_ttl)
