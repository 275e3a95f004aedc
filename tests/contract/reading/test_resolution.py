"""Resolving a ref costs one consistent read, on every driver, and sees every change acknowledged before the call."""

import asyncio
from dataclasses import replace
from typing import Final

import pytest

from modelkeep.domain.models import Version
from modelkeep.domain.values import Stage, parse_ref
from modelkeep.repositories.version_items import version_to_item
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading import resolver
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Index, ItemKey, Present, Put, Table, TablePage
from tests.support.builders import operation
from tests.support.faults.storage import FaultyTable
from tests.support.read_path import MODEL, ReadPath
from tests.support.registries import PRODUCTION, Registry, caller

pytestmark = pytest.mark.one_backend

CHAMPION: Final = parse_ref("champion")
LATEST: Final = parse_ref("latest")

ONE_GET: Final = {"get": 1, "all": 1}
ONE_OF_BOTH: Final = {"get_many": 1, "all": 1}


class LaggingTable(FaultyTable):
    """A table whose indexes stay as they were when they were first queried."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._pages: dict[tuple[object, ...], TablePage[ItemKey]] = {}

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        query = (index, partition, prefix, after, limit)
        if query not in self._pages:
            self._pages[query] = await super().query_index(index, partition, prefix=prefix, after=after, limit=limit)
        return self._pages[query]


async def unverified(table: Table, number: int) -> Version:
    """Make a version one that the public recipe wrote: its bytes were never read."""
    version = await Versions(table).find(MODEL, number)
    assert version
    artifacts = tuple(replace(artifact, size=None, sha256=None) for artifact in version.artifacts)
    adopted = replace(version, artifacts=artifacts)
    await table.transact([Put(version_to_item(adopted), Present())], request_token=operation().id)
    return adopted


# -- what it costs


async def test_production_costs_one_read_once_its_version_is_cached(process: ReadPath) -> None:
    assert await process.number() == 1
    assert process.table.reads()["all"] == 2
    for _ in range(3):
        assert await process.number() == 1
        assert process.table.reads() == ONE_GET


async def test_concurrent_callers_cost_one_read(process: ReadPath) -> None:
    await process.number()
    process.table.reads()
    assert await asyncio.gather(*(process.number() for _ in range(100))) == [1] * 100
    assert process.table.reads() == ONE_GET


async def test_head_and_version_are_read_together_when_the_version_was_dropped(process: ReadPath) -> None:
    await process.number()
    process.drop_versions()
    process.table.reads()
    assert await process.number() == 1
    assert process.table.reads() == ONE_OF_BOTH
    assert await process.number() == 1
    assert process.table.reads() == ONE_GET


async def test_memory_is_bounded(
    process: ReadPath, store: FileStore, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 2 * 5120
    monkeypatch.setattr(resolver, "CACHE_BYTES", limit)
    small = ReadPath(process.table, store)
    assert await other.register(MODEL) == 3
    for ref in ("1", "2", "3", "champion", "production"):
        await small.locate(parse_ref(ref))
        assert small.resolver._versions_cache.currsize <= limit
    assert len(small.resolver._versions_cache) == 2


# -- what it sees


async def test_what_another_process_acknowledged_is_in_the_next_answer(process: ReadPath, other: Registry) -> None:
    await process.number()
    for promoted, newest in ((2, 3), (1, 4), (2, 5), (1, 6)):
        await other.promote(MODEL, promoted)
        found = await process.locate(PRODUCTION)
        assert (found.version.number, found.version.stage) == (promoted, Stage.PRODUCTION)
        assert await process.number(CHAMPION) == 3 - promoted
        await other.services.aliases.point(MODEL, "champion", promoted, caller(), comment=None)
        assert await process.number(CHAMPION) == promoted
        assert await other.register(MODEL) == newest
        assert await process.number(LATEST) == newest
    process.table.reads()
    await other.promote(MODEL, 2)
    assert await process.number() == 2
    assert process.table.reads() == ONE_GET


async def test_production_is_what_was_promoted_last_however_the_indexes_lag(
    table: Table, store: FileStore, other: Registry
) -> None:
    process = ReadPath(LaggingTable(table), store)
    for promoted in (1, 2, 1):
        await other.promote(MODEL, promoted)
        assert await process.number() == promoted


async def test_a_promotion_elsewhere_is_seen_when_the_version_was_dropped(process: ReadPath, other: Registry) -> None:
    """The version that is read beside the head is then the wrong one."""
    await process.number()
    await other.promote(MODEL, 2)
    process.drop_versions()
    process.table.reads()
    found = await process.locate(PRODUCTION)
    assert (found.version.number, found.version.stage) == (2, Stage.PRODUCTION)
    assert process.table.reads() == {"get_many": 1, "get": 1, "all": 2}


async def test_the_stage_and_aliases_of_a_cached_version_are_the_head_s(process: ReadPath, other: Registry) -> None:
    await process.number()
    await other.services.aliases.point(MODEL, "best", 1, caller(), comment=None)
    found = await process.locate(PRODUCTION)
    assert (found.version.aliases, found.generation) == (("best", "champion"), 7)
    assert (await process.resolver.resolve(MODEL, PRODUCTION))[1] == found.version


async def test_an_adopted_version_is_read_with_its_head_until_it_is_verified(process: ReadPath, table: Table) -> None:
    verified = await Versions(table).find(MODEL, 1)
    await unverified(table, 1)
    assert not (await process.locate(PRODUCTION)).version.is_verified
    process.table.reads()
    for _ in range(2):
        assert not (await process.locate(PRODUCTION)).version.is_verified
        assert process.table.reads() == ONE_OF_BOTH
    assert verified
    await table.transact([Put(version_to_item(verified), Present())], request_token=operation().id)
    assert (await process.locate(PRODUCTION)).version.is_verified
    assert process.table.reads() == ONE_OF_BOTH
    await process.number()
    assert process.table.reads() == ONE_GET
