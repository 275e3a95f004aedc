"""A model as a whole: a consistent snapshot, and its copy in another table.

The ledger makes history; this repeats it. Events are written first, in order: from then on any other change of the
model at the destination finds the next event taken, so that nothing is built on half a copy. Every transaction is
conditional on the head that was read, and the head is never written before the versions that it names.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.events import Event
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.items import event_to_item, head_to_item, subject_key, subject_to_item
from modelkeep.repositories.keys import head_key
from modelkeep.repositories.versions import Versions
from modelkeep.storage.attributes import item_size
from modelkeep.storage.table import (
    Absent,
    Check,
    CommitStateUnknownError,
    Condition,
    ConditionFailedError,
    Delete,
    Equals,
    ItemKey,
    Present,
    Put,
    Table,
    TransactionConflictError,
    Write,
)

MAX_READ_ATTEMPTS: Final = 5
MAX_EVENTS: Final = 90
"""Events in one transaction: with the condition on the head, they stay below the 100 writes of DynamoDB."""

_MAX_WRITES: Final = 90
_MAX_BYTES: Final = 3_000_000
_ATTEMPTS: Final = 10
_BACKOFF_BASE_SECONDS: Final = 0.1
_BACKOFF_CAP_SECONDS: Final = 1.0

StoredVersion = Version | TrashedVersion
"""A live or a deleted version."""


def size_of(stored: StoredVersion) -> int:
    """How many bytes its item has."""
    return item_size(subject_to_item(stored))


class SnapshotContentionError(Exception):
    """The model was changed during each attempt to read it."""


class ConcurrentModificationError(Exception):
    """The model has been written since it was read; this transaction wrote nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSnapshot:
    """A model at one generation: its head, its live and deleted versions by key, and the numbers of its uploads."""

    model: str
    head: Head | None
    versions: Mapping[ItemKey, StoredVersion]
    uploads: tuple[int, ...]

    @property
    def generation(self) -> int:
        """The number of the latest event that the head includes; 0 without a head."""
        return self.head.generation if self.head else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDiff:
    """The step from what a destination has to what it should have. `operation_id` is that of the latest event."""

    present: ModelSnapshot
    head: Head
    versions: Mapping[ItemKey, StoredVersion]
    operation_id: str

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to write."""
        return self.present.versions != self.versions or self.present.head != self.head


class ModelSnapshots:
    """Reads and writes whole models."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._heads = Heads(table)
        self._versions = Versions(table)

    async def read(self, model: str) -> ModelSnapshot:
        """Everything but the events, consistent at one generation. Raises `SnapshotContentionError`."""
        for _ in range(MAX_READ_ATTEMPTS):
            head = await self._heads.find(model)
            versions: dict[ItemKey, StoredVersion] = {
                subject_key(live): live async for live in self._versions.walk(model)
            }
            versions |= {subject_key(trashed): trashed async for trashed in self._versions.walk_trash(model)}
            uploads = tuple(sorted([upload.number async for upload in self._versions.walk_uploads(model)]))
            again = await self._heads.find(model)
            if (head and head.generation) == (again and again.generation):
                return ModelSnapshot(model=model, head=head, versions=versions, uploads=uploads)
        raise SnapshotContentionError

    async def add_events(self, events: Sequence[Event], present: ModelSnapshot) -> None:
        """Write at most `MAX_EVENTS` events that are not there yet, all or none.

        Raises `ConcurrentModificationError` and `UnavailableError`.
        """
        writes = [Put(event_to_item(event), Absent()) for event in events]
        await self._send([Check(head_key(present.model), _unchanged(present.head)), *writes])

    async def apply(self, diff: SnapshotDiff) -> bool:
        """Write the differences, in as few transactions as possible; return whether there were any.

        At every instant a number is in one place. Differences that fit into one transaction are written in one, with
        the head. Otherwise new versions come first; then the head, in one transaction with the versions that are or
        were production; then the other versions that were there already. Raises `ConcurrentModificationError` and
        `UnavailableError`; a repeat continues.
        """
        if not diff.changes_anything:
            return False
        key = head_key(diff.head.model)
        early, late = _in_order(diff)
        for writes in early:
            await self._send([Check(key, _unchanged(diff.present.head)), *writes])
        guard: Write = Put(head_to_item(diff.head, diff.operation_id), _unchanged(diff.present.head))
        for writes in late:
            await self._send([guard, *writes])
            guard = Check(key, _unchanged(diff.head))
        return True

    async def _send(self, writes: Sequence[Write]) -> None:
        request_token = str(uuid4())
        for attempt in range(_ATTEMPTS):
            try:
                await self._table.transact(writes, request_token=request_token)
            except ConditionFailedError:
                raise ConcurrentModificationError from None
            except (TransactionConflictError, CommitStateUnknownError):
                await asyncio.sleep(full_jitter(attempt, base=_BACKOFF_BASE_SECONDS, cap=_BACKOFF_CAP_SECONDS))
            else:
                return
        raise UnavailableError("The destination's table took no write for some time. Run the same command again.")


def _unchanged(head: Head | None) -> Condition:
    return Equals({"generation": head.generation}) if head else Absent()


def _in_order(diff: SnapshotDiff) -> tuple[Sequence[Sequence[Write]], Sequence[Sequence[Write]]]:
    """The writes of the transactions before the head; and those with it (one, even if empty) and after it."""
    differing = _differing(diff)
    whole = list(_batched(differing.values()))
    if len(whole) <= 1:
        return [], whole or [[]]
    production = {head.production_version for head in (diff.present.head, diff.head) if head}
    known = {key.sort for key in diff.present.versions}
    early = [number for number in differing if number not in production | known]
    late = sorted(differing.keys() - set(early), key=lambda number: (number not in production, number))
    return (
        list(_batched(differing[number] for number in early)),
        list(_batched(differing[number] for number in late)) or [[]],
    )


def _differing(diff: SnapshotDiff) -> Mapping[int, Sequence[Write]]:
    """The writes of each version number that differs, in the order of numbers."""
    writes: dict[int, list[Write]] = {}
    before, after = diff.present.versions, diff.versions
    for key in sorted(before.keys() | after.keys(), key=lambda key: (key.sort, key.partition)):
        if before.get(key) != after.get(key):
            writes.setdefault(key.sort, []).append(_write(key, before.get(key), after.get(key)))
    return writes


def _write(key: ItemKey, before: StoredVersion | None, after: StoredVersion | None) -> Write:
    if after is None:
        return Delete(key, Present())
    return Put(subject_to_item(after), Present() if before else Absent())


def _batched(groups: Iterable[Sequence[Write]]) -> Iterator[list[Write]]:
    """Join whole groups into batches that fit into one transaction beside the head."""
    batch: list[Write] = []
    size = 0
    for group in groups:
        added = sum(item_size(write.item) for write in group if isinstance(write, Put))
        if batch and (len(batch) + len(group) > _MAX_WRITES or size + added > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch = [*batch, *group]
        size += added
    if batch:
        yield batch
