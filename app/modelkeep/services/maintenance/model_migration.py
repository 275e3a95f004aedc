"""One model on its way from one registry to another."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from modelkeep.domain.artifacts import Artifact, version_prefix
from modelkeep.domain.events import Event, EventType
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.values import Digest
from modelkeep.kit.concurrency import gather_limited
from modelkeep.kit.text import format_count
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.model_snapshots import (
    MAX_EVENTS,
    ConcurrentModificationError,
    Kept,
    ModelSnapshot,
    ModelSnapshots,
    SnapshotContentionError,
    SnapshotDiff,
)
from modelkeep.repositories.table_scan import TableScan
from modelkeep.services.maintenance.adopter import is_model_name
from modelkeep.services.maintenance.object_copier import CopyFailure, CopyRequest, ObjectCopier, told
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import ItemKey, Table

_OTHERS: Final = "others have written it at the destination"

ObjectIdentity = tuple[str, str | None, Digest | None]
"""Where bytes lie at the source, and what they should be: key, version id, digest."""


class NotMovedError(Exception):
    """The model stays as it is at the destination; the argument says why."""


class RegistryEndpoint:
    """One of the two registries."""

    def __init__(self, table: Table, store: ObjectStore) -> None:
        self.copies = ModelSnapshots(table)
        self.events = Events(table)
        self.heads = Heads(table)
        self.store = store
        self.survey = TableScan(table)

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
    """One model on its way: objects, then events, then versions, and the head last."""

    def __init__(self, source: RegistryEndpoint, destination: RegistryEndpoint, model: str, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._model = model
        self._dry_run = dry_run
        self.carrier = ObjectCopier(source.store, destination.store, dry_run=dry_run)
        self.is_incomplete = False

    async def run(self) -> AsyncGenerator[str, None]:
        """Move it and say so. Raises `NotMovedError`; what others have written is left alone."""
        source = await self._read(self._source, "source")
        head = _movable(source)
        seen = await self._read(self._destination, "destination")
        history = await self._compare(seen, source)
        for number in source.uploads:
            yield f"{self._model}: upload {number} is open and stays behind; the number stays spent"
        places = await self._place(source, seen)
        kept: dict[ItemKey, Kept] = {}
        broken: set[int] = set()
        for key, subject in source.kept.items():
            if self._is_elsewhere(_version_of(subject)):
                address = _version_of(subject).s3_path
                yield f"{self._model} {key.sort}: lies at {address}, not in the source's store; its bytes stay there"
            faults = list(self._faults(subject, places))
            for fault in faults:
                yield f"{self._model} {key.sort}: {fault}"
            broken |= {key.sort} if faults else set()
            kept[key] = self._moved(subject, places)
        self.is_incomplete = bool(broken)
        _check_named(head, broken)
        changed = await self._write(seen, history, _excluding(kept, seen.kept, broken), head)
        yield f"{self._model}: {self._result(source, broken, changed=changed)}"

    async def _read(self, side: RegistryEndpoint, name: str) -> ModelSnapshot:
        try:
            return await side.copies.read(self._model)
        except SnapshotContentionError:
            raise NotMovedError(f"it keeps changing at the {name}; stop the service there") from None

    async def _compare(self, seen: ModelSnapshot, source: ModelSnapshot) -> _History:
        """Hold the destination's history against the source's: it must be the beginning of it."""
        there = {event.generation: event.operation_id async for event in self._destination.events.walk(self._model)}
        if seen.generation > source.generation:
            raise NotMovedError(f"{_OTHERS}: it is at generation {seen.generation}, the source at {source.generation}")
        if (seen.kept or seen.uploads) and not there:
            raise NotMovedError(f"{_OTHERS}: it has versions there, and no history")
        missing, purged, latest = [], set[int | None](), ""
        async for event in self._source.events.walk(self._model):
            if event.generation > source.generation:
                break
            latest = event.operation_id
            purged |= {event.version} if event.type is EventType.VERSION_PURGED else set()
            operation = there.pop(event.generation, None)
            if operation is None:
                missing.append(event.generation)
            elif operation != event.operation_id:
                raise NotMovedError(f"{_OTHERS}: event {event.generation} there is another than at the source")
        if there:
            raise NotMovedError(f"{_OTHERS}: event {min(there)} there is not at the source")
        if strangers := _foreign_versions(seen, source) - purged:
            raise NotMovedError(f"{_OTHERS}: version {min(strangers)} there is not of the source")
        return _History(missing=missing, latest_operation=latest)

    async def _place(
        self, source: ModelSnapshot, seen: ModelSnapshot
    ) -> Mapping[ObjectIdentity, Artifact | CopyFailure]:
        """Bring every object that the model names, each once."""
        known = {artifact.key: artifact for kept in seen.kept.values() for artifact in _version_of(kept).artifacts}
        wanted: dict[ObjectIdentity, CopyRequest] = {}
        for kept in source.kept.values():
            version = _version_of(kept)
            if not self._is_elsewhere(version):
                wanted |= {_place_of(each): CopyRequest(each, known.get(each.key)) for each in version.artifacts}
        placed = await gather_limited(self.carrier.place, wanted.values())
        return dict(zip(wanted, placed, strict=True))

    def _is_elsewhere(self, version: Version) -> bool:
        """Whether it was adopted from the public recipe with an address in some other store, and is not served."""
        address = self._source.store.key_of(version.s3_path)
        return any(artifact.sha256 is None and artifact.key != address for artifact in version.artifacts)

    def _faults(self, kept: Kept, places: Mapping[ObjectIdentity, Artifact | CopyFailure]) -> Iterator[str]:
        version = _version_of(kept)
        if self._is_elsewhere(version):
            return
        for artifact in version.artifacts:
            placed = places[_place_of(artifact)]
            if isinstance(placed, CopyFailure):
                yield f"'{artifact.path}' {placed.reason}; the version is not moved"

    def _moved(self, kept: Kept, places: Mapping[ObjectIdentity, Artifact | CopyFailure]) -> Kept:
        """The version as the destination keeps it: only where its bytes lie is another."""
        version = _version_of(kept)
        if self._is_elsewhere(version):
            return kept
        placed = [(artifact, places.get(_place_of(artifact))) for artifact in version.artifacts]
        artifacts = tuple(
            replace(artifact, size=there.size, sha256=there.sha256, version_id=there.version_id)
            for artifact, there in placed
            if isinstance(there, Artifact)
        )
        version = replace(version, artifacts=artifacts, s3_path=self._address(version))
        return replace(kept, version=version) if isinstance(kept, TrashedVersion) else version

    def _address(self, version: Version) -> str:
        """Where the bytes lie at the destination: the one object, or the folder of several."""
        if not version.artifacts:
            return version.s3_path
        uri = self._destination.store.uri
        if len(version.artifacts) == 1:
            return uri(version.artifacts[0].key)
        return f"{uri(version_prefix(version.model, version.number).rstrip('/'))}/"

    async def _write(self, seen: ModelSnapshot, history: _History, kept: Mapping[ItemKey, Kept], head: Head) -> bool:
        """Whether anything was written, or would be."""
        step = SnapshotDiff(seen=seen, head=head, kept=kept, operation_id=history.latest_operation)
        if self._dry_run:
            return bool(history.missing) or step.changes_anything
        try:
            await self._write_events(seen, history.missing)
            return await self._destination.copies.apply(step) or bool(history.missing)
        except ConcurrentModificationError:
            raise NotMovedError(f"{_OTHERS} meanwhile") from None

    async def _write_events(self, seen: ModelSnapshot, missing: Sequence[int]) -> None:
        lacking = set(missing)
        batch: list[Event] = []
        async for event in self._source.events.walk(self._model, after=min(missing, default=1) - 1):
            if not lacking:
                return
            if event.generation in lacking:
                lacking.remove(event.generation)
                batch.append(event)
            if len(batch) == MAX_EVENTS or (batch and not lacking):
                await self._destination.copies.add_events(batch, seen)
                batch = []

    def _result(self, source: ModelSnapshot, broken: set[int], *, changed: bool) -> str:
        kept = [subject for key, subject in source.kept.items() if key.sort not in broken]
        trashed = sum(isinstance(subject, TrashedVersion) for subject in kept)
        counts = [format_count(len(kept) - trashed, "version")]
        counts += [f"{trashed} in the trash"] if trashed else []
        counts += [told(self.carrier.objects, self.carrier.bytes, dry_run=self._dry_run)]
        counts += [format_count(source.generation, "event")]
        return ", ".join(counts) + ("" if changed else "; nothing had changed")


def _movable(source: ModelSnapshot) -> Head:
    if not is_model_name(source.model):
        raise NotMovedError("no model can have this name here; its versions cannot be served")
    if source.head is None:
        raise NotMovedError("it has no head at the source; run `modelkeep init --adopt` there")
    return source.head


def _foreign_versions(seen: ModelSnapshot, source: ModelSnapshot) -> set[int]:
    """Numbers under which the destination keeps what the source does not: a commit names a version for good."""
    ours = {(key.sort, _version_of(kept).commit) for key, kept in source.kept.items()}
    return {key.sort for key, kept in seen.kept.items() if (key.sort, _version_of(kept).commit) not in ours}


def _version_of(kept: Kept) -> Version:
    return kept.version if isinstance(kept, TrashedVersion) else kept


def _place_of(artifact: Artifact) -> ObjectIdentity:
    return artifact.key, artifact.version_id, artifact.sha256


def _excluding(
    kept: Mapping[ItemKey, Kept], standing: Mapping[ItemKey, Kept], broken: set[int]
) -> Mapping[ItemKey, Kept]:
    """What is to be, but for broken numbers: they stay as they are at the destination."""
    sound = {key: subject for key, subject in kept.items() if key.sort not in broken}
    return sound | {key: subject for key, subject in standing.items() if key.sort in broken}


def _check_named(head: Head, broken: set[int]) -> None:
    """Refuse to let a head name what is not there."""
    named = {head.production_version, head.latest_version, *head.aliases.values(), *head.production_history}
    if missing := sorted(number for number in broken if number in named):
        numbers = ", ".join(map(str, missing))
        raise NotMovedError(
            f"its head names version(s) {numbers} as latest, production (now or before) or alias; restore the bytes at"
            " the source, or delete the version there"
        )
