"""One model on its way from one registry to another."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from modelkeep.domain.artifacts import Artifact, s3_path_of
from modelkeep.domain.events import Event, EventType
from modelkeep.domain.models import FORMAT, Head, TrashedVersion, Version
from modelkeep.domain.values import Digest, is_model_name
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.model_snapshots import (
    MAX_EVENTS,
    ConcurrentModificationError,
    ModelSnapshot,
    ModelSnapshots,
    SnapshotContentionError,
    SnapshotDiff,
    StoredVersion,
    size_of,
)
from modelkeep.repositories.table_scan import TableScan
from modelkeep.services.maintenance.adopter import is_foreign
from modelkeep.services.maintenance.findings import (
    CopyProblem,
    Finding,
    ForeignObjectNotCopied,
    MigrationProblem,
    ModelMigrated,
    ModelNotMigrated,
    OpenUpload,
    VersionNotCopied,
    VersionTooLarge,
)
from modelkeep.services.maintenance.object_copier import CopyRequest, ObjectCopier
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import MAX_ITEM_BYTES, ItemKey, Table

ObjectIdentity = tuple[str, str | None, Digest | None]
"""Where bytes are at the source, and what they should be: key, version id, digest."""


class NotMigratedError(Exception):
    """The model stays as it is at the destination."""

    def __init__(self, model: str, problem: MigrationProblem, **facts: Any) -> None:
        self.finding: Final = ModelNotMigrated(model, problem, **facts)
        super().__init__(self.finding)


class RegistryEndpoint:
    """One of the two registries."""

    def __init__(self, table: Table, store: ObjectStore) -> None:
        self.snapshots = ModelSnapshots(table)
        self.events = Events(table)
        self.heads = Heads(table)
        self.store = store
        self.scan = TableScan(table)

    async def reach(self) -> None:
        """Look for table, index and store. Raises `UnavailableError`."""
        await self.heads.list(lambda _: True, prefix="", cursor=None, limit=1)
        await self.store.reach()


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """How the two histories compare: the events that the destination lacks, and the operation of the latest."""

    missing: Sequence[int]
    latest_operation: str


class ModelMigration:
    """Copies one model: objects, then events, then versions, and the head last."""

    def __init__(self, source: RegistryEndpoint, destination: RegistryEndpoint, model: str, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._model = model
        self._dry_run = dry_run
        self.copier = ObjectCopier(source.store, destination.store, dry_run=dry_run)

    async def run(self) -> AsyncGenerator[Finding, None]:
        """Copy it, and yield what was found; `ModelMigrated` is the last. Raises `NotMigratedError`."""
        source = await self._read(self._source, MigrationProblem.CHANGING_AT_SOURCE)
        head = _head_of(source)
        present = await self._read(self._destination, MigrationProblem.CHANGING_AT_DESTINATION)
        _require_known_format(head, present.head)
        history = await self._compare(present, source)
        for number in source.uploads:
            yield OpenUpload(self._model, number)
        copies = await self._copy_objects(source, present)
        versions: dict[ItemKey, StoredVersion] = {}
        failed: set[int] = set()
        for key, subject in source.versions.items():
            version = _version_of(subject)
            if self._is_foreign(version):
                yield ForeignObjectNotCopied(self._model, version.number, version.s3_path)
                versions[key] = subject
                continue
            for artifact in version.artifacts:
                if isinstance(problem := copies[_identity(artifact)], CopyProblem):
                    failed.add(version.number)
                    yield _not_copied(version, artifact, problem)
            versions[key] = self._at_destination(subject, copies)
            if (size := size_of(versions[key])) > MAX_ITEM_BYTES:
                failed.add(version.number)
                yield VersionTooLarge(self._model, version.number, size, MAX_ITEM_BYTES)
        _require_named(head, failed)
        changed = await self._write(present, history, _excluding(failed, versions, present.versions), head)
        yield self._result(source, failed, changed=changed)

    async def _read(self, endpoint: RegistryEndpoint, contended: MigrationProblem) -> ModelSnapshot:
        try:
            return await endpoint.snapshots.read(self._model)
        except SnapshotContentionError:
            raise NotMigratedError(self._model, contended) from None

    async def _compare(self, present: ModelSnapshot, source: ModelSnapshot) -> _History:
        """Compare the destination's history with the source's: it must be the beginning of it."""
        model, problem = self._model, MigrationProblem
        operations = {event.generation: event.operation_id async for event in self._destination.events.walk(model)}
        if present.generation > source.generation:
            ahead = {"generation": present.generation, "source_generation": source.generation}
            raise NotMigratedError(model, problem.DESTINATION_AHEAD, **ahead)
        if (present.versions or present.uploads) and not operations:
            raise NotMigratedError(model, problem.DESTINATION_WITHOUT_HISTORY)
        missing, purged, latest = [], set[int | None](), ""
        async for event in self._source.events.walk(model):
            if event.generation > source.generation:
                break
            latest = event.operation_id
            purged |= {event.version} if event.type is EventType.VERSION_PURGED else set()
            operation = operations.pop(event.generation, None)
            if operation is None:
                missing.append(event.generation)
            elif operation != event.operation_id:
                raise NotMigratedError(model, problem.DIFFERENT_EVENT, generation=event.generation)
        if operations:
            raise NotMigratedError(model, problem.UNKNOWN_EVENT, generation=min(operations))
        if unknown := _foreign_versions(present, source) - purged:
            raise NotMigratedError(model, problem.UNKNOWN_VERSION, versions=(min(unknown),))
        return _History(missing=missing, latest_operation=latest)

    async def _copy_objects(
        self, source: ModelSnapshot, present: ModelSnapshot
    ) -> Mapping[ObjectIdentity, Artifact | CopyProblem]:
        """Copy every object that the model names, each once."""
        recorded = {
            artifact.key: artifact for stored in present.versions.values() for artifact in _version_of(stored).artifacts
        }
        requests: dict[ObjectIdentity, CopyRequest] = {}
        for stored in source.versions.values():
            version = _version_of(stored)
            if not self._is_foreign(version):
                requests |= {_identity(each): CopyRequest(each, recorded.get(each.key)) for each in version.artifacts}
        copies = await gather_limited(self.copier.copy, requests.values())
        return dict(zip(requests, copies, strict=True))

    def _is_foreign(self, version: Version) -> bool:
        return any(is_foreign(self._source.store, version, artifact) for artifact in version.artifacts)

    def _at_destination(
        self, stored: StoredVersion, copies: Mapping[ObjectIdentity, Artifact | CopyProblem]
    ) -> StoredVersion:
        """The version as the destination keeps it: only the address of its bytes differs."""
        version = _version_of(stored)
        pairs = [(artifact, copies[_identity(artifact)]) for artifact in version.artifacts]
        artifacts = tuple(
            replace(
                artifact,
                size=copy.size,
                sha256=copy.sha256,
                version_id=copy.version_id,
                parts_sha256=copy.parts_sha256,
            )
            for artifact, copy in pairs
            if isinstance(copy, Artifact)
        )
        version = replace(version, artifacts=artifacts, s3_path=self._address(version))
        return replace(stored, version=version) if isinstance(stored, TrashedVersion) else version

    def _address(self, version: Version) -> str:
        """Where the bytes are at the destination: the one object, or the folder of several."""
        if not version.artifacts:
            return version.s3_path
        return s3_path_of(version.model, version.number, version.artifacts, self._destination.store.uri)

    async def _write(
        self, present: ModelSnapshot, history: _History, versions: Mapping[ItemKey, StoredVersion], head: Head
    ) -> bool:
        """Whether anything was written, or would be in a run that is not dry."""
        diff = SnapshotDiff(present=present, head=head, versions=versions, operation_id=history.latest_operation)
        if self._dry_run:
            return bool(history.missing) or diff.changes_anything
        try:
            await self._write_events(present, history.missing)
            return await self._destination.snapshots.apply(diff) or bool(history.missing)
        except ConcurrentModificationError:
            raise NotMigratedError(self._model, MigrationProblem.CHANGED_DURING_COPY) from None

    async def _write_events(self, present: ModelSnapshot, missing: Sequence[int]) -> None:
        if not missing:
            return
        lacking = frozenset(missing)
        batch: list[Event] = []
        async for event in self._source.events.walk(self._model, after=missing[0] - 1):
            if event.generation in lacking:
                batch.append(event)
            is_last = event.generation == missing[-1]
            if is_last or len(batch) == MAX_EVENTS:
                await self._destination.snapshots.add_events(batch, present)
                batch = []
            if is_last:
                return

    def _result(self, source: ModelSnapshot, failed: set[int], *, changed: bool) -> Finding:
        copied = [subject for key, subject in source.versions.items() if key.sort not in failed]
        trashed = sum(isinstance(subject, TrashedVersion) for subject in copied)
        return ModelMigrated(
            model=self._model,
            versions=len(copied) - trashed,
            trashed=trashed,
            events=source.generation,
            objects=self.copier.objects,
            bytes=self.copier.bytes,
            changed=changed,
            dry_run=self._dry_run,
        )


def _head_of(source: ModelSnapshot) -> Head:
    if not is_model_name(source.model):
        raise NotMigratedError(source.model, MigrationProblem.INVALID_NAME)
    if source.head is None:
        raise NotMigratedError(source.model, MigrationProblem.MISSING_HEAD)
    return source.head


def _require_known_format(*heads: Head | None) -> None:
    if newer := [head for head in heads if head and head.format > FORMAT]:
        raise NotMigratedError(newer[0].model, MigrationProblem.NEWER_FORMAT)


def _foreign_versions(present: ModelSnapshot, source: ModelSnapshot) -> set[int]:
    """Numbers under which the destination keeps what the source does not: a commit names a version for good."""
    ours = {(key.sort, _version_of(stored).commit) for key, stored in source.versions.items()}
    return {key.sort for key, stored in present.versions.items() if (key.sort, _version_of(stored).commit) not in ours}


def _version_of(stored: StoredVersion) -> Version:
    return stored.version if isinstance(stored, TrashedVersion) else stored


def _identity(artifact: Artifact) -> ObjectIdentity:
    return artifact.key, artifact.version_id, artifact.sha256


def _not_copied(version: Version, artifact: Artifact, problem: CopyProblem) -> VersionNotCopied:
    sha256 = artifact.sha256.hex if artifact.sha256 else None
    return VersionNotCopied(version.model, version.number, artifact.path, artifact.key, sha256, problem)


def _excluding(
    failed: set[int], versions: Mapping[ItemKey, StoredVersion], present: Mapping[ItemKey, StoredVersion]
) -> Mapping[ItemKey, StoredVersion]:
    """What is to be at the destination: a number that failed stays as it is there."""
    copied = {key: subject for key, subject in versions.items() if key.sort not in failed}
    return copied | {key: subject for key, subject in present.items() if key.sort in failed}


def _require_named(head: Head, failed: set[int]) -> None:
    """Raise `NotMigratedError` for a head that names a version which would not be there."""
    named = {head.production_version, head.latest_version, *head.aliases.values(), *head.production_history}
    if needed := sorted(number for number in failed if number in named):
        raise NotMigratedError(head.model, MigrationProblem.VERSIONS_NEEDED, versions=tuple(needed))
