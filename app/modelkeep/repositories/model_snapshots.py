"""A model as a whole: read at one instant, and written into another table as it was.

The ledger makes history; this repeats it. Events are written first and in order. From then on whoever else would change
the model there finds the next event taken, so nothing is ever built on half a copy. Every transaction holds only while
the head is still the one that was seen, and the head never comes before what it names.
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

MAX_LOOKS: Final = 5
MAX_EVENTS: Final = 90
"""Events in one transaction: with the head's condition they are fewer than a hundred writes."""

_MOST_WRITES: Final = 90
_MOST_BYTES: Final = 3_000_000
_ATTEMPTS: Final = 10
_BACKOFF_BASE_SECONDS: Final = 0.1
_BACKOFF_CAP_SECONDS: Final = 1.0

Kept = Version | TrashedVersion


class SnapshotContentionError(Exception):
    """The model was changed during each of several looks at it."""


class ConcurrentModificationError(Exception):
    """Somebody else wrote the model since it was looked at; this transaction wrote nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSnapshot:
    """What a table holds of a model at one generation: its head, live versions and trash, and numbers of uploads."""

    model: str
    head: Head | None
    kept: Mapping[ItemKey, Kept]
    uploads: tuple[int, ...]

    @property
    def generation(self) -> int:
        """The number of the latest event that the head knows."""
        return self.head.generation if self.head else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDiff:
    """From what a destination holds to what it should hold. `operation_id` is that of the latest event."""

    seen: ModelSnapshot
    head: Head
    kept: Mapping[ItemKey, Kept]
    operation_id: str

    @property
    def changes_anything(self) -> bool:
        """Whether the destination is not yet as it should be."""
        return self.seen.kept != self.kept or self.seen.head != self.head


class ModelSnapshots:
    """Reads and writes models as wholes."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._heads = Heads(table)
        self._versions = Versions(table)

    async def read(self, model: str) -> ModelSnapshot:
        """Everything but the events, as it was at one instant. Raises `SnapshotContentionError`."""
        for _ in range(MAX_LOOKS):
            head = await self._heads.find(model)
            kept: dict[ItemKey, Kept] = {subject_key(live): live async for live in self._versions.walk(model)}
            kept |= {subject_key(trashed): trashed async for trashed in self._versions.walk_trash(model)}
            uploads = tuple(sorted([upload.number async for upload in self._versions.walk_uploads(model)]))
            again = await self._heads.find(model)
            if (head and head.generation) == (again and again.generation):
                return ModelSnapshot(model=model, head=head, kept=kept, uploads=uploads)
        raise SnapshotContentionError

    async def add_events(self, events: Sequence[Event], seen: ModelSnapshot) -> None:
        """Write at most `MAX_EVENTS` events that are not there yet.

        Raises `ConcurrentModificationError` and `UnavailableError`.
        """
        writes = [Put(event_to_item(event), Absent()) for event in events]
        await self._send([Check(head_key(seen.model), _at(seen.head)), *writes])

    async def apply(self, step: SnapshotDiff) -> bool:
        """Write what differs, in as few transactions as hold it; tell whether anything did.

        A number is in one place at every instant. What one transaction takes goes in one, with the head. Otherwise what
        is new comes first, but for what is or was production: that changes in one transaction with the head. What else
        was there already, and may have gone since, follows. Raises `ConcurrentModificationError` and
        `UnavailableError`; a repeat goes on from there.
        """
        if not step.changes_anything:
            return False
        where = head_key(step.head.model)
        early, late = _in_order(step)
        for writes in early:
            await self._send([Check(where, _at(step.seen.head)), *writes])
        guard: Write = Put(head_to_item(step.head, step.operation_id), _at(step.seen.head))
        for writes in late:
            await self._send([guard, *writes])
            guard = Check(where, _at(step.head))
        return True

    async def _send(self, writes: Sequence[Write]) -> None:
        token = str(uuid4())
        for attempt in range(_ATTEMPTS):
            try:
                await self._table.transact(writes, request_token=token)
            except ConditionFailedError:
                raise ConcurrentModificationError from None
            except (TransactionConflictError, CommitStateUnknownError):
                await asyncio.sleep(full_jitter(attempt, base=_BACKOFF_BASE_SECONDS, cap=_BACKOFF_CAP_SECONDS))
            else:
                return
        raise UnavailableError("The destination's table took no write for some time. Run the same command again.")


def _at(head: Head | None) -> Condition:
    return Equals({"generation": head.generation}) if head else Absent()


def _in_order(step: SnapshotDiff) -> tuple[Sequence[Sequence[Write]], Sequence[Sequence[Write]]]:
    """The transactions that come before the head, and those that go with it (at least one) and after it."""
    differing = _differing(step)
    whole = list(_batched(differing.values()))
    if len(whole) <= 1:
        return [], whole or [[]]
    production = {head.production_version for head in (step.seen.head, step.head) if head}
    known = {key.sort for key in step.seen.kept}
    early = [number for number in differing if number not in production | known]
    late = sorted(differing.keys() - set(early), key=lambda number: (number not in production, number))
    return (
        list(_batched(differing[number] for number in early)),
        list(_batched(differing[number] for number in late)) or [[]],
    )


def _differing(step: SnapshotDiff) -> Mapping[int, Sequence[Write]]:
    """What is to be written of each number, in the order of numbers."""
    writes: dict[int, list[Write]] = {}
    before, after = step.seen.kept, step.kept
    for key in sorted(before.keys() | after.keys(), key=lambda key: (key.sort, key.partition)):
        if before.get(key) != after.get(key):
            writes.setdefault(key.sort, []).append(_write(key, before.get(key), after.get(key)))
    return writes


def _write(key: ItemKey, before: Kept | None, after: Kept | None) -> Write:
    if after is None:
        return Delete(key, Present())
    return Put(subject_to_item(after), Present() if before else Absent())


def _batched(groups: Iterable[Sequence[Write]]) -> Iterator[list[Write]]:
    """Put whole groups together, as many as one transaction takes beside a head."""
    filled: list[Write] = []
    size = 0
    for group in groups:
        grown = sum(item_size(write.item) for write in group if isinstance(write, Put))
        if filled and (len(filled) + len(group) > _MOST_WRITES or size + grown > _MOST_BYTES):
            yield filled
            filled, size = [], 0
        filled = [*filled, *group]
        size += grown
    if filled:
        yield filled
