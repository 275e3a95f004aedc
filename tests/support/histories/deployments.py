"""Several processes' worth of the service over one table, and the bad days that they meet.

A profile is a name. What it means at the seam, for any driver, is in `SEAM`; what it means on the wire to AWS is in
`networks`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol
from unittest import mock

import httpx
import pytest
from asgi_lifespan import LifespanManager

from modelkeep import main
from modelkeep.bootstrap import open_storage
from modelkeep.main import create_app
from modelkeep.settings import Settings
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Item, ItemKey, Table, TablePage, Write
from tests.support.api import BASE, Api
from tests.support.faults.storage import LOSSES, Fault, FaultyTable, at_random, lose_patience

INSTANCES: Final = 3


class Profile(StrEnum):
    """A kind of bad day."""

    NONE = "none"
    REQUESTS_LOST = "requests lost"
    REPLIES_LOST = "replies lost"
    LATE_EFFECTS = "late effects"
    CONTENTION = "contention"
    UNAVAILABLE = "unavailable"
    SLOW_READS = "slow reads"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamFaults:
    """What a profile does between the service and its table: how often, and what.

    A read is answered, with what was there, after up to `longest_read` seconds: what it says may be old by then.
    """

    rate: float = 0.0
    writes: Sequence[Fault] = ()
    read_rate: float = 0.0
    reads: Sequence[Fault] = ()
    longest_read: float = 0.002
    is_impatient: bool = True


SEAM: Final = {
    Profile.NONE: SeamFaults(is_impatient=False),
    Profile.REQUESTS_LOST: SeamFaults(rate=0.3, writes=[Fault.REQUEST_LOST, Fault.HANGING]),
    Profile.REPLIES_LOST: SeamFaults(rate=0.4, writes=[Fault.REPLY_LOST]),
    Profile.LATE_EFFECTS: SeamFaults(rate=0.4, writes=[Fault.LATE]),
    Profile.CONTENTION: SeamFaults(rate=0.6, writes=[Fault.CONTENDED]),
    Profile.UNAVAILABLE: SeamFaults(
        rate=0.3, writes=[Fault.UNAVAILABLE], read_rate=0.1, reads=[Fault.UNAVAILABLE]
    ),
    Profile.SLOW_READS: SeamFaults(
        rate=0.3, writes=[Fault.SLOW], read_rate=0.3, reads=[Fault.SLOW], longest_read=0.03, is_impatient=False
    ),
    Profile.EVERYTHING: SeamFaults(
        rate=0.3,
        writes=[*LOSSES, Fault.UNAVAILABLE, Fault.HANGING],
        read_rate=0.1,
        reads=[Fault.UNAVAILABLE, Fault.SLOW],
        longest_read=0.01,
    ),
}  # fmt: skip


class Weather(Protocol):
    """What makes the day bad."""

    @property
    def patience(self) -> float:
        """For how many seconds a change is worth waiting for, where waiting would only take long."""
        ...

    def turn(self, profile: Profile, seed: int) -> None:
        """From now on be so."""

    async def settle(self) -> None:
        """Be fine from now on, and let what is still on its way arrive."""


class DistantTable(FaultyTable):
    """A table whose answers take a while: each tells what was there when it was asked."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._chance = random.Random(0)
        self._longest = 0.0

    def take(self, seconds: float, seed: int) -> None:
        """From now on, take up to so long to answer a read, and a fifth of it to answer a write."""
        self._longest, self._chance = seconds, random.Random(seed)

    async def get(self, key: ItemKey) -> Item | None:
        found = await super().get(key)
        await self._travel(self._longest)
        return found

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        found = await super().get_many(keys)
        await self._travel(self._longest)
        return found

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        found = await super().query(partition, after=after, descending=descending, limit=limit)
        await self._travel(self._longest)
        return found

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        self.sent.clear()
        await super().transact(writes, request_token=request_token)
        await self._travel(self._longest / 5)

    async def _travel(self, longest: float) -> None:
        await asyncio.sleep(self._chance.random() ** 3 * longest)


class Seam:
    """Weather between the service and its table."""

    patience = 0.15

    def __init__(self, tables: Sequence[DistantTable]) -> None:
        self._tables = tables

    def turn(self, profile: Profile, seed: int) -> None:
        faults = SEAM[profile]
        for number, table in enumerate(self._tables):
            dice = seed * 100 + number
            table.meet(
                writes=at_random(dice, faults.rate, faults.writes),
                reads=at_random(dice + 50, faults.read_rate, faults.reads),
            )
            table.take(faults.longest_read, dice)

    async def settle(self) -> None:
        for table in self._tables:
            table.meet()
            table.take(0, 0)
            await table.__aexit__()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Instances of the service that have nothing in common but their storage; and that storage itself."""

    apis: Sequence[Api]
    weather: Weather
    table: Table


@asynccontextmanager
async def deployed(settings: Settings) -> AsyncIterator[Deployment]:
    """Serve from several instances, with weather at the seam, for both backends."""
    tables: list[DistantTable] = []

    @asynccontextmanager
    async def open_distant(
        settings: Settings, on_retry: Callable[[str], None]
    ) -> AsyncIterator[tuple[Table, ObjectStore]]:
        async with open_storage(settings, on_retry) as (table, store):
            tables.append(DistantTable(table))
            yield tables[-1], store

    with mock.patch.object(main, "open_storage", open_distant):
        async with instances(settings) as apis, open_storage(settings) as (table, _):
            yield Deployment(apis, Seam(tables), table)


@asynccontextmanager
async def instances(settings: Settings) -> AsyncIterator[Sequence[Api]]:
    """Serve from several instances."""
    quiet = settings.model_copy(update={"log_level": "ERROR", "requests_per_10_seconds": 10**9})
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_instance(quiet)) for _ in range(INSTANCES)]


@asynccontextmanager
async def _instance(settings: Settings) -> AsyncIterator[Api]:
    async with LifespanManager(create_app(settings)) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=BASE, mounts={BASE: transport}, trust_env=False, timeout=30) as http:
            yield Api(http)


@contextmanager
def patience(profile: Profile, weather: Weather) -> Iterator[None]:
    """Have the patience that fits the day: little, where waiting would only take long."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if SEAM[profile].is_impatient:
            lose_patience(monkeypatch, weather.patience)
        yield
