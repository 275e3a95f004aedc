"""A table and a store behind a bad network: what services see when requests, replies and patience get lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from itertools import chain, repeat
from typing import Any, Final, Self, TypeVar

import pytest

from modelkeep.repositories import optimistic_transaction as commits
from modelkeep.storage.objects import ObjectStore, ObjectStoreError, StoreUnavailableError
from modelkeep.storage.table import (
    CommitStateUnknownError,
    Index,
    Item,
    ItemKey,
    Table,
    TableError,
    TablePage,
    TableUnavailableError,
    TransactionConflictError,
    Write,
)

T = TypeVar("T")


class Fault(Enum):
    """What happens to one call."""

    NONE = auto()
    REQUEST_LOST = auto()
    """No effect, and nobody knows."""
    REPLY_LOST = auto()
    """The effect, and nobody knows."""
    LATE = auto()
    """Nobody knows, and then the effect, if it still can be."""
    CONTENDED = auto()
    UNAVAILABLE = auto()
    SLOW = auto()
    HANGING = auto()
    """No effect and no answer, ever."""


LOSSES = (Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE, Fault.CONTENDED, Fault.SLOW)
ALL = (*LOSSES, Fault.UNAVAILABLE, Fault.HANGING)
_LOST_READS = frozenset(ALL) - {Fault.SLOW, Fault.HANGING}


def at_random(seed: int, rate: float, faults: Sequence[Fault]) -> Iterator[Fault]:
    """One of the faults at this rate, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(faults) if chance.random() < rate else Fault.NONE


def lose_patience(monkeypatch: pytest.MonkeyPatch, deadline: float = 0.15) -> None:
    """Have so little of it that some outcomes stay unknown."""
    monkeypatch.setattr(commits, "BACKOFF_CAP_SECONDS", 0.02)
    monkeypatch.setattr(commits, "DEADLINE_SECONDS", deadline)


class FaultyTable:
    """Any table, whose writes and reads meet these faults in turn, and none once those are used up.

    `sent` notes every transaction that came from above. Leaving the context waits for what is late. What is slow takes
    `slow` seconds longer, what is late up to `late`. A reader who is lost finds the table away.
    """

    def __init__(
        self,
        table: Table,
        *,
        writes: Iterable[Fault] = (),
        reads: Iterable[Fault] = (),
        slow: float = 0.01,
        late: float = 0.1,
    ) -> None:
        self._slow = slow
        self._lateness = late
        self.sent: list[tuple[Sequence[Write], str]] = []
        self._table = table
        self._writes = chain(writes, repeat(Fault.NONE))
        self._reads = chain(reads, repeat(Fault.NONE))
        self._late: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._late)

    def meet(self, *, writes: Iterable[Fault] = (), reads: Iterable[Fault] = ()) -> None:
        """From now on meet these faults instead."""
        self._writes = chain(writes, repeat(Fault.NONE))
        self._reads = chain(reads, repeat(Fault.NONE))

    async def get(self, key: ItemKey) -> Item | None:
        await self._read()
        return await self._table.get(key)

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        await self._read()
        return await self._table.get_many(keys)

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        await self._read()
        return await self._table.query(partition, after=after, descending=descending, limit=limit)

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        await self._read()
        return await self._table.query_index(index, partition, prefix=prefix, after=after, limit=limit)

    async def scan(self, *, after: ItemKey | None = None, limit: int) -> TablePage[Item]:
        await self._read()
        return await self._table.scan(after=after, limit=limit)

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        self.sent.append((writes, request_token))
        match next(self._writes):
            case Fault.REQUEST_LOST:
                raise CommitStateUnknownError("the request was lost")
            case Fault.REPLY_LOST:
                with suppress(TableError):
                    await self._table.transact(writes, request_token=request_token)
                raise CommitStateUnknownError("the reply was lost")
            case Fault.LATE:
                self._late.add(asyncio.create_task(self._transact_late(writes, request_token)))
                raise CommitStateUnknownError("the request is on its way")
            case Fault.CONTENDED:
                raise TransactionConflictError("others were in the way")
            case Fault.UNAVAILABLE:
                raise TableUnavailableError("the table is away")
            case fault:
                await _wait(fault, self._slow)
        await self._table.transact(writes, request_token=request_token)

    async def _read(self) -> None:
        fault = next(self._reads)
        if fault in _LOST_READS:
            raise TableUnavailableError("the table is away")
        await _wait(fault, self._slow)

    async def _transact_late(self, writes: Sequence[Write], token: str) -> None:
        await asyncio.sleep(random.uniform(0, self._lateness))
        with suppress(TableError):
            await self._table.transact(writes, request_token=token)


async def _wait(fault: Fault, slow: float = 0.01) -> None:
    if fault is Fault.SLOW:
        await asyncio.sleep(slow)
    elif fault is Fault.HANGING:
        await asyncio.Event().wait()


OF_STORES: Final = frozenset({"stat", "begin", "list_parts", "complete", "abort"})
"""The calls of a store that may meet a fault."""

_LOST: Final = "the store does not answer"


class FaultyStore:
    """Any object store, whose calls meet these faults in turn, by the name of the call, and none after those.

    All that a caller learns of a loss is `StoreUnavailableError`. Leaving the context waits for what is late.
    """

    def __init__(self, store: ObjectStore, **calls: Iterable[Fault]) -> None:
        self._store = store
        self._late: set[asyncio.Task[None]] = set()
        self.meet(**calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._late)

    def meet(self, **calls: Iterable[Fault]) -> None:
        """From now on meet these faults instead."""
        if unknown := set(calls) - OF_STORES:
            raise ValueError(f"no fault befalls {sorted(unknown)}")
        self._faults: Mapping[str, Iterator[Fault]] = {
            name: chain(faults, repeat(Fault.NONE)) for name, faults in calls.items()
        }

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._store, name)
        if name not in OF_STORES or name not in self._faults:
            return called

        async def meeting(*arguments: Any, **options: Any) -> Any:
            return await self._met(next(self._faults[name]), lambda: called(*arguments, **options))

        return meeting

    async def _met(self, fault: Fault, call: Callable[[], Awaitable[T]]) -> T:
        match fault:
            case Fault.REPLY_LOST:
                with suppress(ObjectStoreError):
                    await call()
                raise StoreUnavailableError(_LOST)
            case Fault.LATE:
                self._late.add(asyncio.create_task(_late(call)))
                raise StoreUnavailableError(_LOST)
            case Fault.REQUEST_LOST | Fault.UNAVAILABLE:
                raise StoreUnavailableError(_LOST)
            case Fault.CONTENDED:
                raise ValueError("a store knows no contention")
            case _:
                await _wait(fault)
                return await call()


async def _late(call: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(random.uniform(0, 0.1))
    with suppress(ObjectStoreError):
        await call()
