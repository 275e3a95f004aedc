"""Compares a table and a store with what must always be true, and names each difference."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Final

from modelkeep.domain.artifacts import Artifact, is_named_by
from modelkeep.domain.changes import conflicting_production_of
from modelkeep.domain.events import EventType
from modelkeep.domain.models import FORMAT, Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import is_model_name
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.table_scan import TableScan, may_expire
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.adopter import is_foreign
from modelkeep.services.maintenance.findings import Finding
from modelkeep.services.maintenance.strays import StrayFinder, list_sizes
from modelkeep.storage.objects import ObjectStore, StoredObject

MAX_ATTEMPTS: Final = 5


class ConsistencyChecker:
    """Reads everything and changes nothing. A model that changes while it is checked is checked again."""

    def __init__(self, heads: Heads, versions: Versions, events: Events, scan: TableScan, store: ObjectStore) -> None:
        self._heads = heads
        self._versions = versions
        self._events = events
        self._scan = scan
        self._store = store

    async def check(self) -> AsyncGenerator[Finding, None]:
        """Every fault; none if all is well. Raises `UnavailableError`."""
        models: set[str] = set()
        async for item in self._scan.walk():
            if item.expiry is not None and not may_expire(item.key):
                yield findings.ExpiringItem(item.key.partition, item.key.sort)
            if item.model is not None:
                models.add(item.model)
        await self._store.reach()
        sizes = await list_sizes(self._store)
        for model in sorted(models):
            for fault in await self.check_model(model):
                yield fault
        async for stray in StrayFinder(self._heads, self._versions, sizes, models).find():
            yield stray

    async def check_model(self, model: str) -> list[Finding]:
        """Every fault of one model, but for expiries."""
        faults: list[Finding] = []
        for _ in range(MAX_ATTEMPTS):
            head = await self._heads.find(model)
            if head is None:
                missing = findings.MissingHead if is_model_name(model) else findings.InvalidModelName
                return [missing(model)]
            if head.format > FORMAT:
                return [findings.NewerFormat(model, head.format, FORMAT)]
            faults = await self._faults_of(head)
            again = await self._heads.find(model)
            if not faults or (again and again.generation == head.generation):
                return faults
        return faults

    async def _faults_of(self, head: Head) -> list[Finding]:
        live = [version async for version in self._versions.walk(head.model)]
        uploads = [upload async for upload in self._versions.walk_uploads(head.model)]
        trash = [trashed async for trashed in self._versions.walk_trash(head.model)]
        faults = [*_head_faults(head, live), *_number_faults(head, live, uploads, trash)]
        completed: dict[int, str] = {}
        faults += [fault async for fault in self._history_faults(head, completed)]
        versions = [*live, *(trashed.version for trashed in trash)]
        faults += _commit_faults(versions, completed)
        stored = [
            (version, artifact, version.number in completed) for version in versions for artifact in version.artifacts
        ]
        return faults + [fault for fault in await gather_limited(self._object_fault, stored) if fault]

    async def _history_faults(self, head: Head, completed: dict[int, str]) -> AsyncGenerator[Finding, None]:
        """Where the history has gaps; the commits that it names are added to `completed`, by version."""
        expected = 1
        async for event in self._events.walk(head.model):
            if event.generation != expected:
                yield findings.MissingEvent(head.model, expected)
            expected = event.generation + 1
            if event.type is EventType.VERSION_COMPLETED and event.version and event.commit:
                completed[event.version] = event.commit
        if expected != head.generation + 1:
            yield findings.GenerationMismatch(head.model, history=expected - 1, head=head.generation)

    async def _object_fault(self, stored: tuple[Version, Artifact, bool]) -> Finding | None:
        version, artifact, checksum_seen = stored
        where = (version.model, version.number, artifact.path, artifact.key)
        if is_foreign(self._store, version, artifact):
            return findings.ForeignObject(*where, version.s3_path)
        current = await self._store.stat(artifact.key)
        found = current
        if artifact.version_id and (current is None or current.version_id != artifact.version_id):
            found = await self._store.stat(artifact.key, version_id=artifact.version_id)
        if found is None:
            return findings.MissingObject(*where)
        if (fault := _content_fault(where, artifact, found, checksum_seen=checksum_seen)) is not None:
            return fault
        return None if found is current else await self._covered(where, current)

    async def _covered(self, where: tuple[str, int, str, str], current: StoredObject | None) -> Finding:
        """The fault of an object that is found under its version id alone."""
        if current is None:
            return findings.HiddenObject(*where, marker=await self._marker(where[-1]))
        return findings.OverwrittenObject(*where, current=current.version_id)

    async def _marker(self, key: str) -> str | None:
        """The id of the delete marker that is current under the key."""
        markers = [v async for v in self._store.list_versions(key) if v.key == key and v.is_marker and v.is_current]
        return markers[0].version_id if markers else None


def _content_fault(
    where: tuple[str, int, str, str], artifact: Artifact, found: StoredObject, *, checksum_seen: bool
) -> Finding | None:
    """Where a stored object is not what the artifact records of it."""
    if artifact.size is not None and found.size != artifact.size:
        return findings.SizeMismatch(*where, stored=found.size, recorded=artifact.size)
    for stored, recorded in ((found.sha256, artifact.sha256), (found.parts_sha256, artifact.parts_sha256)):
        if stored and recorded and stored != recorded:
            return findings.ChecksumMismatch(*where, stored=stored.hex, recorded=recorded.hex)
    if checksum_seen and found.sha256 is None and found.parts_sha256 is None:
        return findings.MissingChecksum(*where)
    return None


def _head_faults(head: Head, live: list[Version]) -> Iterator[Finding]:
    """Where what the head names is not what there is."""
    model, production = head.model, head.production_version
    versions = {version.number: version for version in live}
    newest = max(versions, default=None)
    if head.deleted_at and live and not head.deletion_in_progress:
        yield findings.DeletedModelWithVersions(model)
    if not head.deleted_at and head.latest_version != newest:
        yield findings.LatestVersionMismatch(model, recorded=head.latest_version, newest=newest)
    if production is not None and not (production in versions and versions[production].is_consistent_with(head)):
        yield findings.ProductionMismatch(model, production)
    for stray in conflicting_production_of(head, live):
        yield findings.ProductionConflict(model, stray.number, production)
    for alias, number in head.aliases.items():
        if number not in versions:
            yield findings.DanglingAlias(model, number, alias)
    for number in head.production_history:
        if number not in versions:
            yield findings.DanglingProductionHistory(model, number)


def _commit_faults(versions: list[Version], completed: Mapping[int, str]) -> Iterator[Finding]:
    """Versions that are not what was completed under their numbers. Older releases wrote no commit into history."""
    for version in versions:
        model, number, commit = version.model, version.number, version.commit
        if completed.get(number, commit) != commit:
            yield findings.CommitMismatch(model, number, recorded=commit, completed=completed[number])
        if not is_named_by(commit, model, number, version.artifacts, version.empty_folders):
            yield findings.ManifestMismatch(model, number, commit)


def _number_faults(
    head: Head, live: list[Version], uploads: list[Upload], trash: list[TrashedVersion]
) -> Iterator[Finding]:
    numbers = [v.number for v in live] + [u.number for u in uploads] + [t.version.number for t in trash]
    for number in sorted(number for number, count in Counter(numbers).items() if count > 1):
        yield findings.DuplicateNumber(head.model, number)
    for number in sorted(number for number in numbers if number >= head.next_version):
        yield findings.UnissuedNumber(head.model, number, head.next_version)
