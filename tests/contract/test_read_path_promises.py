"""What the read that every container makes promises however it is shared and remembered: each in its smallest form."""

import asyncio
from collections.abc import AsyncIterator, Container
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from modelkeep.domain.downloads import Download
from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.values import PresignedUrl, Ref, parse_ref
from modelkeep.http.openapi import STALE
from modelkeep.routers.downloads import render_download
from modelkeep.services.reading import presigned_urls, resolver
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.services.reading.single_flight import SingleFlight
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Index, ItemKey, Table, TablePage
from tests.support import builders
from tests.support.faults.storage import Fault, FaultyTable
from tests.support.registries import PRODUCTION, Registry, caller

MODEL = "fraud-detector"
HOUR = timedelta(hours=1)


class Clock:
    """Time that passes when it is told to, in whole seconds."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0).timestamp()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (resolver, presigned_urls):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now))
    return clock


class Lagging(FaultyTable):
    """A table whose indexes stay as they were when they were first asked."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._seen: dict[tuple[object, ...], TablePage[ItemKey]] = {}

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        asked = (index, partition, prefix, after, limit)
        if asked not in self._seen:
            self._seen[asked] = await super().query_index(index, partition, prefix=prefix, after=after, limit=limit)
        return self._seen[asked]


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Lagging]:
    async with SqliteTable.open(tmp_path / "registry.sqlite3") as table:
        yield Lagging(table)


@pytest.fixture
async def registries(table: Lagging, tmp_path: Path) -> list[Registry]:
    """Two processes, and a model of two versions of which the first is production, the latest is the second."""
    store = await FileStore.open(tmp_path / "data", public_url="http://registry")
    registries = [Registry(table, store), Registry(table, store)]
    for _ in range(2):
        await registries[0].register(MODEL)
    await registries[0].promote(MODEL, 1)
    return registries


async def download(registry: Registry, ref: Ref = PRODUCTION, known: Container[str] = ()) -> Download:
    return await registry.services.downloads.locate(MODEL, ref, caller(), known_commits=known)


async def number(registry: Registry, ref: str) -> int:
    return (await download(registry, parse_ref(ref))).version.number


# -- freshness


async def test_production_is_who_was_promoted_last_however_the_indexes_lag(registries: list[Registry]) -> None:
    for promoted in (1, 2, 1):
        await registries[1].promote(MODEL, promoted)
        assert await number(registries[0], "production") == promoted


async def test_what_another_process_acknowledged_is_in_the_next_answer(registries: list[Registry]) -> None:
    here, there = registries
    for promoted, newest in ((1, 3), (2, 4), (1, 5)):
        await there.services.aliases.point(MODEL, "champion", promoted, caller(), comment=None)
        await there.promote(MODEL, promoted)
        assert await number(here, "production") == promoted
        assert await number(here, "champion") == promoted
        assert await there.register(MODEL) == newest
        assert await number(here, "latest") == newest


async def test_who_asks_while_a_reading_is_under_way_is_answered_by_the_next() -> None:
    begun: list[asyncio.Event] = []

    async def read(_: str) -> int:
        ended = asyncio.Event()
        begun.append(ended)
        mine = len(begun)
        await ended.wait()
        return mine

    async def under_way(reading: int) -> None:
        while len(begun) < reading:  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0)

    reads = SingleFlight(read)
    early = asyncio.create_task(reads.get(MODEL))
    await asyncio.wait_for(under_way(1), 10)
    late = asyncio.create_task(reads.get(MODEL))
    await asyncio.sleep(0)
    begun[0].set()
    assert await early == 1
    waiting = asyncio.create_task(under_way(2))
    await asyncio.wait([waiting, late], timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert not late.done()
    begun[1].set()
    assert await late == 2


# -- answers from memory


async def test_an_answer_from_memory_says_how_old_it_is(
    registries: list[Registry], table: Lagging, clock: Clock
) -> None:
    registry = registries[0]
    fresh = await download(registry)
    assert STALE not in render_download(fresh).headers
    table.meet(reads=repeat(Fault.UNAVAILABLE))
    clock.now += 90
    for known, status in ((set[str](), 200), ({fresh.version.commit}, 304)):
        found = render_download(await download(registry, known=known))
        assert (found.status_code, found.headers.get(STALE)) == (status, "90")
    table.meet()
    assert STALE not in render_download(await download(registry)).headers


async def test_an_answer_from_memory_is_given_for_a_quarter_of_an_hour(
    registries: list[Registry], table: Lagging, clock: Clock
) -> None:
    await download(registries[0])
    table.meet(reads=repeat(Fault.UNAVAILABLE))
    clock.now += 899
    assert (await download(registries[0])).stale_seconds == 899
    clock.now += 1
    with pytest.raises(UnavailableError):
        await download(registries[0])


# -- URLs that are shared


class Signing:
    """A store that signs, and notes which version of an object it was asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked: list[str | None] = []

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        self.asked.append(version_id)
        expires_at = datetime.fromtimestamp(self._clock.now, UTC) + ttl
        return PresignedUrl(method="GET", url=f"http://store/{key}", headers={}, expires_at=expires_at)


@pytest.fixture
def signing(clock: Clock) -> tuple[PresignedUrlCache, Signing]:
    store = Signing(clock)
    policy = ServiceLimits(
        upload_url_ttl=HOUR, download_url_ttl=HOUR, upload_ttl=HOUR, trash_ttl=HOUR, multipart_threshold=0
    )
    return PresignedUrlCache(cast("ObjectStore", store), policy), store


async def test_a_url_that_is_given_has_half_its_life_to_go(
    signing: tuple[PresignedUrlCache, Signing], clock: Clock
) -> None:
    urls, store = signing
    version = builders.version()
    for _ in range(0, 2 * 3600, 60):
        (located,) = (await urls.of(version)).artifacts
        assert located.url.expires_at.timestamp() - clock.now >= HOUR.total_seconds() / 2
        clock.now += 60
    assert len(store.asked) == 4


async def test_a_url_is_for_the_version_of_the_object_that_was_confirmed(
    signing: tuple[PresignedUrlCache, Signing],
) -> None:
    urls, store = signing
    (artifact,) = builders.version().artifacts
    pinned = builders.version(artifacts=(replace(artifact, version_id="v-17"),))
    await urls.of(pinned)
    await urls.locate(pinned, pinned.artifacts[0])
    assert store.asked == ["v-17", "v-17"]
