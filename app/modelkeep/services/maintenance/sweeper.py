"""Removes what nobody needs: expired uploads, due trash, orphaned bytes; and finishes interrupted deletions."""

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.domain.changes import Decision
from modelkeep.domain.errors import UploadNotFoundError, VersionNotFoundError
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import operator_caller
from modelkeep.services.discard import discard_upload, discard_version
from modelkeep.services.limits import ServiceLimits
from modelkeep.services.models import ModelService
from modelkeep.storage.objects import ObjectStore

CALLER: Final = operator_caller("sweep", request_id="sweep")
ORPHAN_GRACE: Final = timedelta(hours=1)
"""How much older than the longest upload bytes must be before they can be orphans."""

_KEY: Final = re.compile(re.escape(KEY_PREFIX) + r"([^/]+)/v([1-9][0-9]{0,9})/.")


@dataclass(frozen=True, slots=True)
class ReferencedObjects:
    """Keys and multipart ids that the table names."""

    keys: frozenset[str]
    multiparts: frozenset[str]


class Sweeper:
    """Goes through the whole table and the whole store. Safe to stop, to repeat, and to run beside the service."""

    def __init__(
        self,
        ledger: Ledger,
        heads: Heads,
        versions: Versions,
        survey: TableScan,
        store: ObjectStore,
        policy: ServiceLimits,
    ) -> None:
        self._ledger = ledger
        self._heads = heads
        self._versions = versions
        self._survey = survey
        self._store = store
        self._models = ModelService(ledger, heads, versions, store, policy)
        self._policy = policy

    async def sweep(self, now: datetime, *, dry_run: bool) -> AsyncGenerator[str, None]:
        """Remove what is due by `now`, and say each thing in a sentence; a dry run only says."""
        names = await self._survey.models()
        await self._store.reach()
        dropped: list[Upload | TrashedVersion] = []
        for name in names:
            async for sentence in self._sweep_model(name, now, dropped, dry_run=dry_run):
                yield sentence
        if dropped:
            await self._discard(dropped, await self._held(names))
        async for sentence in self._sweep_orphans(names, now, dry_run=dry_run):
            yield sentence
        if expired := await self._survey.delete_expired(now, dry_run=dry_run):
            yield f"{expired} expired idempotency key(s) and token(s)"

    async def _sweep_model(
        self, model: str, now: datetime, dropped: list[Upload | TrashedVersion], *, dry_run: bool
    ) -> AsyncGenerator[str, None]:
        """Take what is due out of the table; what had bytes is added to `dropped`."""
        head = await self._heads.find(model)
        if head and head.deletion_in_progress:
            yield f"{model}: finished a deletion that was interrupted"
            if not dry_run:
                await self._models.finish_deleting(model, CALLER)
        for upload in [u async for u in self._versions.walk_uploads(model) if u.expires_at <= now]:
            yield f"{model} {upload.number}: expired upload"
            if not dry_run and await self._expire(upload):
                dropped.append(upload)
        for trashed in [t async for t in self._versions.walk_trash(model) if t.purge_after <= now]:
            yield f"{model} {trashed.version.number}: purged, {trashed.version.size or 0} bytes"
            if not dry_run and (purged := await self._purge(trashed.version, now)):
                dropped.append(purged)

    async def _expire(self, upload: Upload) -> bool:
        operation = CALLER.operation(Action.VERSION_DELETE, upload.model)

        async def decide(head: Head | None) -> Decision[Upload | None]:
            if await self._versions.find_upload(upload.model, upload.number) is None:
                return changes.Unchanged(result=None)
            if head is None:
                raise UploadNotFoundError(upload.model, upload.number)
            return changes.drop_upload(head, upload, operation, expired=True)

        return await self._ledger.apply(upload.model, operation, decide, replay=_no_replay) is not None

    async def _purge(self, version: Version, now: datetime) -> TrashedVersion | None:
        """Take a version out of the trash if it is still due: it may have been restored, and deleted again."""
        operation = CALLER.operation(Action.VERSION_DELETE, version.model)

        async def decide(head: Head | None) -> Decision[TrashedVersion | None]:
            trashed = await self._versions.find_trashed(version.model, version.number)
            if trashed is None or trashed.purge_after > now:
                return changes.Unchanged(result=None)
            if head is None:
                raise VersionNotFoundError(version.model, str(version.number))
            return changes.purge(head, trashed, operation)

        return await self._ledger.apply(version.model, operation, decide, replay=_no_replay)

    async def _discard(self, dropped: Sequence[Upload | TrashedVersion], held: ReferencedObjects) -> None:
        """Remove the bytes of what the table no longer names, but none that it names elsewhere."""
        for gone in dropped:
            if isinstance(gone, Upload):
                await discard_upload(self._store, gone, kept=held.keys)
            elif self._is_here(gone.version):
                await discard_version(self._store, gone.version, kept=held.keys)

    def _is_here(self, version: Version) -> bool:
        """Whether a version's keys are of this store. One that was adopted and never read may lie in another bucket."""
        return self._store.key_of(version.s3_path) is not None or all(a.sha256 for a in version.artifacts)

    async def _sweep_orphans(self, names: list[str], now: datetime, *, dry_run: bool) -> AsyncGenerator[str, None]:
        before = now - self._policy.upload_ttl - ORPHAN_GRACE
        objects = [o.key async for o in self._store.list_objects(KEY_PREFIX) if o.modified_at < before]
        multiparts = [m async for m in self._store.list_multiparts(KEY_PREFIX) if m.begun_at < before]
        held = await self._held(names)
        for key in objects:
            if key not in held.keys and await self._is_spent(key):
                yield f"{key}: orphaned object"
                if not dry_run:
                    await self._store.delete(key)
        for multipart in multiparts:
            if multipart.multipart_id not in held.multiparts:
                yield f"{multipart.key}: orphaned parts"
                if not dry_run:
                    await self._store.abort(multipart.key, multipart.multipart_id)

    async def _held(self, names: list[str]) -> ReferencedObjects:
        keys: set[str] = set()
        multiparts: set[str] = set()
        for name in names:
            keys.update([a.key async for v in self._versions.walk(name) for a in v.artifacts])
            keys.update([a.key async for t in self._versions.walk_trash(name) for a in t.version.artifacts])
            pending = [a async for u in self._versions.walk_uploads(name) for a in u.artifacts]
            keys.update(artifact.key for artifact in pending)
            multiparts.update(artifact.multipart.id for artifact in pending if artifact.multipart)
        return ReferencedObjects(frozenset(keys), frozenset(multiparts))

    async def _is_spent(self, key: str) -> bool:
        """Whether a key belongs to a number that the registry gave out and that is nowhere any more.

        The number may move between the reads; then the head has moved as well, and the object is left for next time.
        """
        found = _KEY.match(key)
        if not found:
            return False
        model, number = found[1], int(found[2])
        head = await self._heads.find(model)
        if head is None or number >= head.next_version:
            return False
        somewhere = (
            await self._versions.find(model, number)
            or await self._versions.find_upload(model, number)
            or await self._versions.find_trashed(model, number)
        )
        after = await self._heads.find(model)
        return somewhere is None and after is not None and after.generation == head.generation


async def _no_replay(_: int | None) -> None:
    return None
