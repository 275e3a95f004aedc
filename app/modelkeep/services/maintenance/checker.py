"""Holds a table and a store against what must always be true, and names what is not."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.changes import conflicting_production_of
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.table_scan import TableScan, may_expire
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.adopter import is_model_name
from modelkeep.storage.objects import ObjectStore

MAX_ATTEMPTS: Final = 5


class ConsistencyChecker:
    """Reads everything and changes nothing. A model that keeps changing while it is looked at is looked at again."""

    def __init__(self, heads: Heads, versions: Versions, events: Events, survey: TableScan, store: ObjectStore) -> None:
        self._heads = heads
        self._versions = versions
        self._events = events
        self._survey = survey
        self._store = store

    async def inspect(self) -> AsyncGenerator[str, None]:
        """Every fault, as a sentence; none if all is well."""
        models: set[str] = set()
        async for sighting in self._survey.walk():
            if sighting.expiry is not None and not may_expire(sighting.key):
                yield f"{sighting.key.partition} {sighting.key.sort} carries an expiry and would vanish"
            if sighting.model is not None:
                models.add(sighting.model)
        await self._store.reach()
        for model in sorted(models):
            for fault in await self._inspect_model(model):
                yield f"{model}: {fault}"

    async def _inspect_model(self, model: str) -> list[str]:
        faults: list[str] = []
        for _ in range(MAX_ATTEMPTS):
            head = await self._heads.find(model)
            if head is None and not is_model_name(model):
                return ["no model can have this name here; its versions cannot be served"]
            if head is None:
                return ["has no head; run `modelkeep init --adopt`"]
            faults = await self._look(head)
            again = await self._heads.find(model)
            if not faults or (again and again.generation == head.generation):
                return faults
        return faults

    async def _look(self, head: Head) -> list[str]:
        live = [version async for version in self._versions.walk(head.model)]
        uploads = [upload async for upload in self._versions.walk_uploads(head.model)]
        trash = [trashed async for trashed in self._versions.walk_trash(head.model)]
        faults = [*_pointer_faults(head, live), *_number_faults(head, live, uploads, trash)]
        faults += [fault async for fault in self._history_faults(head)]
        stored = [(v, a) for v in live for a in v.artifacts] + [
            (t.version, a) for t in trash for a in t.version.artifacts
        ]
        return faults + [fault for fault in await gather_limited(self._object_fault, stored) if fault]

    async def _history_faults(self, head: Head) -> AsyncGenerator[str, None]:
        expected, cursor = 1, None
        while True:
            page = await self._events.list(head.model, after=0, cursor=cursor, limit=100)
            for event in page.items:
                if event.generation != expected:
                    yield f"event {expected} is missing"
                expected = event.generation + 1
            if (cursor := page.next_cursor) is None:
                break
        if expected != head.generation + 1:
            yield f"the history ends at {expected - 1}, the head is at {head.generation}"

    async def _object_fault(self, stored: tuple[Version, Artifact]) -> str | None:
        version, artifact = stored
        name = f"version {version.number} '{artifact.path}'"
        if artifact.sha256 is None and self._store.key_of(version.s3_path) != artifact.key:
            return f"{name} lies at {version.s3_path}, which is not in this store"
        found = await self._store.stat(artifact.key, version_id=artifact.version_id)
        if found is None:
            return f"{name} has no object at {artifact.key}"
        if artifact.size is not None and found.size != artifact.size:
            return f"{name} has {found.size} bytes in the store, {artifact.size} in the table"
        if artifact.sha256 and found.sha256 and found.sha256 != artifact.sha256:
            return f"{name} has other bytes in the store than the table says"
        return None


def _pointer_faults(head: Head, live: list[Version]) -> Iterator[str]:
    numbers = {version.number for version in live}
    if head.deleted_at and live and not head.deletion_in_progress:
        yield "is deleted and still has versions"
    if not head.deleted_at and head.latest_version != max(numbers, default=None):
        yield f"latest is {head.latest_version}, the newest version is {max(numbers, default=None)}"
    holders = [
        version.number
        for version in live
        if version.is_consistent_with(head) and head.production_version == version.number
    ]
    if head.production_version is not None and not holders:
        yield f"production is {head.production_version}, which is not there or says otherwise"
    for stray in conflicting_production_of(head, live):
        yield f"version {stray.number} claims production, the head names {head.production_version}"
    for alias, number in head.aliases.items():
        if number not in numbers:
            yield f"alias '{alias}' names version {number}, which is not there"
    for number in head.production_history:
        if number not in numbers:
            yield f"version {number} is in the production history and not there"


def _number_faults(
    head: Head, live: list[Version], uploads: list[Upload], trash: list[TrashedVersion]
) -> Iterator[str]:
    numbers = [v.number for v in live] + [u.number for u in uploads] + [t.version.number for t in trash]
    for number in sorted(number for number, count in Counter(numbers).items() if count > 1):
        yield f"number {number} is in more than one place"
    for number in sorted(number for number in numbers if number >= head.next_version):
        yield f"number {number} was never given out: the next one is {head.next_version}"
