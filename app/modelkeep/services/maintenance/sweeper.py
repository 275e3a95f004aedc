"""Removes what nothing needs: expired uploads, due trash, orphaned objects; and finishes interrupted deletions."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import KEY_PREFIX, numbered_key
from modelkeep.domain.changes import Decision
from modelkeep.domain.errors import UploadNotFoundError, VersionNotFoundError
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.models import Head, TrashedVersion, Version, require_known_format
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller, operator_caller
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.adopter import is_foreign
from modelkeep.services.maintenance.findings import Finding
from modelkeep.services.models import ModelService
from modelkeep.services.ownership import Ownership
from modelkeep.services.uploading.cleanup import delete_upload_objects, delete_version_objects
from modelkeep.storage.objects import ObjectStore

ORPHAN_GRACE: Final = timedelta(hours=1)
"""An object can be an orphan once it is older than the longest upload by this."""

MAX_READINGS: Final = 5
"""How often the references of a model are read while it changes; then all objects are left for the next sweep."""


@dataclass(frozen=True, slots=True)
class ReferencedObjects:
    """Keys and multipart ids that the table names: by all its `models`, none of which changed while it was read.

    What these do not name is never named again: a registration takes bytes only from a version that is live at the
    instant it is written, of its own model by the condition on the head, of another by one on that version.
    """

    keys: frozenset[str]
    multiparts: frozenset[str]
    models: frozenset[str]


class Sweeper:
    """Goes through the whole table and the whole store. Safe to stop, to repeat, and to run beside the service."""

    def __init__(
        self,
        ledger: Ledger,
        heads: Heads,
        versions: Versions,
        scan: TableScan,
        store: ObjectStore,
        limits: ServiceLimits,
        ownership: Ownership,
    ) -> None:
        self._ledger = ledger
        self._heads = heads
        self._versions = versions
        self._scan = scan
        self._store = store
        self._models = ModelService(ledger, heads, versions, store, limits)
        self._limits = limits
        self._ownership = ownership

    async def sweep(self, now: datetime, *, dry_run: bool) -> AsyncGenerator[Finding, None]:
        """Remove what is due by `now`, and yield each thing; a dry run removes nothing.

        Raises `UnavailableError`; before anything is removed, `BucketOwnedError` and `BucketUnmarkedError` for a bucket
        that is not surely this table's, and `NewerFormatError` if a newer release wrote a model in a format whose
        references to objects may not be known here.
        """
        names = await self._scan.models()
        await self._store.reach()
        await self._ownership.require()
        for name in names:
            require_known_format(await self._heads.find(name))
        dropped: list[Upload | TrashedVersion] = []
        for name in names:
            async for finding in self._sweep_model(name, now, dropped, dry_run=dry_run):
                yield finding
        if dropped and (referenced := await self._referenced()):
            await self._discard(dropped, referenced)
        async for finding in self._sweep_orphans(now, dry_run=dry_run):
            yield finding
        if expired := await self._scan.delete_expired(now, dry_run=dry_run):
            yield findings.ExpiredItems(expired)

    async def _sweep_model(
        self, model: str, now: datetime, dropped: list[Upload | TrashedVersion], *, dry_run: bool
    ) -> AsyncGenerator[Finding, None]:
        """Take what is due out of the table; what had bytes is added to `dropped`."""
        head = await self._heads.find(model)
        if head and head.deletion_in_progress:
            yield findings.DeletionFinished(model)
            if not dry_run:
                await self._models.finish_deleting(model, new_caller())
        for upload in [u async for u in self._versions.walk_uploads(model) if u.expires_at <= now]:
            yield findings.ExpiredUpload(model, upload.number)
            if not dry_run and await self._expire(upload):
                dropped.append(upload)
        for trashed in [t async for t in self._versions.walk_trash(model) if t.purge_after <= now]:
            version = trashed.version
            yield findings.PurgedVersion(model, version.number, version.size or 0)
            if not dry_run and (purged := await self._purge(version, now)):
                dropped.append(purged)

    async def _expire(self, upload: Upload) -> bool:
        operation = new_caller().operation(Action.VERSION_DELETE, upload.model)

        async def decide(head: Head | None) -> Decision[Upload | None]:
            if await self._versions.find_upload(upload.model, upload.number) is None:
                return changes.Unchanged(result=None)
            if head is None:
                raise UploadNotFoundError(upload.model, upload.number)
            return changes.drop_upload(head, upload, operation, expired=True)

        return await self._ledger.apply(upload.model, operation, decide, on_duplicate=_no_replay) is not None

    async def _purge(self, version: Version, now: datetime) -> TrashedVersion | None:
        """Take a version out of the trash if it is still due: it may have been restored, and deleted again."""
        operation = new_caller().operation(Action.VERSION_DELETE, version.model)

        async def decide(head: Head | None) -> Decision[TrashedVersion | None]:
            trashed = await self._versions.find_trashed(version.model, version.number)
            if trashed is None or trashed.purge_after > now:
                return changes.Unchanged(result=None)
            if head is None:
                raise VersionNotFoundError(version.model, str(version.number))
            return changes.purge(head, trashed, operation)

        return await self._ledger.apply(version.model, operation, decide, on_duplicate=_no_replay)

    async def _discard(self, dropped: Sequence[Upload | TrashedVersion], referenced: ReferencedObjects) -> None:
        """Remove the bytes of what the table no longer names, but none that it names elsewhere."""
        await self._ownership.require()
        for gone in dropped:
            if isinstance(gone, Upload):
                await delete_upload_objects(self._store, gone, referenced=referenced.keys)
            elif not any(is_foreign(self._store, gone.version, artifact) for artifact in gone.version.artifacts):
                await delete_version_objects(self._store, gone.version, referenced=referenced.keys)

    async def _sweep_orphans(self, now: datetime, *, dry_run: bool) -> AsyncGenerator[Finding, None]:
        before = now - self._limits.upload_ttl - ORPHAN_GRACE
        await self._ownership.require()
        objects = await self._versions_by_key(before)
        multiparts = [m async for m in self._store.list_multiparts(KEY_PREFIX) if m.begun_at < before]
        referenced = await self._referenced()
        if referenced is None:
            return
        for key, version_ids in objects.items():
            if key not in referenced.keys and await self._is_unreferenced(key, referenced):
                yield findings.OrphanedObject(key)
                for version_id in () if dry_run else version_ids:
                    await self._store.delete(key, version_id=version_id)
        for multipart in multiparts:
            if multipart.multipart_id not in referenced.multiparts:
                yield findings.OrphanedParts(multipart.key)
                if not dry_run:
                    await self._store.abort(multipart.key, multipart.multipart_id)

    async def _versions_by_key(self, before: datetime) -> Mapping[str, Sequence[str | None]]:
        """The ids of all versions and markers from before a moment, by key."""
        found: defaultdict[str, list[str | None]] = defaultdict(list)
        async for version in self._store.list_versions(KEY_PREFIX):
            if version.modified_at < before:
                found[version.key].append(version.version_id)
        return found

    async def _referenced(self) -> ReferencedObjects | None:
        """What the table names now; `None` if some model changes all the time, for it may name any object.

        The models are looked for again: one that was made since may name objects of others.
        """
        keys: set[str] = set()
        multiparts: set[str] = set()
        names = await self._scan.models()
        for name in names:
            if not await self._add_references(name, keys, multiparts):
                return None
        return ReferencedObjects(frozenset(keys), frozenset(multiparts), frozenset(names))

    async def _add_references(self, model: str, keys: set[str], multiparts: set[str]) -> bool:
        """Whether they are complete: what moves (an upload that is completed) while it is read could be missed."""
        for _ in range(MAX_READINGS):
            before = await self._generation(model)
            keys.update([a.key async for v in self._versions.walk(model) for a in v.artifacts])
            keys.update([a.key async for t in self._versions.walk_trash(model) for a in t.version.artifacts])
            pending = [a async for u in self._versions.walk_uploads(model) for a in u.artifacts]
            keys.update(artifact.key for artifact in pending)
            multiparts.update(artifact.multipart.id for artifact in pending if artifact.multipart)
            if before == await self._generation(model):
                return True
        return False

    async def _generation(self, model: str) -> int | None:
        head = await self._heads.find(model)
        return head.generation if head else None

    async def _is_unreferenced(self, key: str, referenced: ReferencedObjects) -> bool:
        """Whether a key is that of a number which the registry gave out, and which is in use no more.

        If the number moves between the reads, the head moves as well, and the object is left for the next sweep.
        """
        found = numbered_key(key)
        if not found or found[0] not in referenced.models:
            return False
        model, number = found
        head = await self._heads.find(model)
        if head is None or number >= head.next_version:
            return False
        require_known_format(head)
        in_use = (
            await self._versions.find(model, number)
            or await self._versions.find_upload(model, number)
            or await self._versions.find_trashed(model, number)
        )
        after = await self._heads.find(model)
        return in_use is None and after is not None and after.generation == head.generation


def new_caller() -> Caller:
    """The sweep as a caller; a new one for each step, because a caller collects the decisions on one request."""
    return operator_caller("sweep", request_id="sweep")


async def _no_replay(_: int | None) -> None:
    return None
