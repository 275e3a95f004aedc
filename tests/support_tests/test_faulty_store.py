"""What a store behind a bad network claims of each fault, and that an upload comes to its end in spite of all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelkeep.domain.errors import UnavailableError
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.objects import StoreUnavailableError
from tests.support.faults.storage import OF_STORES, Fault, FaultyStore
from tests.support.registries import Registry, caller

KEY = "models/m/v1/model.pt"
LOST = [Fault.UNAVAILABLE, Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE]
WITH_EFFECT = {Fault.REPLY_LOST, Fault.LATE}


@pytest.fixture
async def behind(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path, public_url="http://registry")


async def begun(store: FileStore) -> int:
    return len([found async for found in store.list_multiparts("")])


@pytest.mark.parametrize("fault", LOST)
async def test_what_is_lost_is_unavailable_whatever_its_effect(behind: FileStore, fault: Fault) -> None:
    async with FaultyStore(behind, begin=[fault]) as faulty:
        with pytest.raises(StoreUnavailableError):
            await faulty.begin(KEY)
    assert await begun(behind) == (1 if fault in WITH_EFFECT else 0)
    assert await faulty.begin(KEY)


async def test_slow_answers_and_hanging_does_not(behind: FileStore) -> None:
    faulty = FaultyStore(behind, stat=[Fault.SLOW, Fault.HANGING])
    assert await faulty.stat(KEY) is None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(faulty.stat(KEY), 0.1)
    assert await faulty.stat(KEY) is None


def test_only_calls_that_exist_meet_faults(behind: FileStore) -> None:
    with pytest.raises(ValueError, match="no fault befalls"):
        FaultyStore(behind, presign_get=[Fault.SLOW])


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[SqliteTable]:
    async with SqliteTable.open(tmp_path / "registry.db") as table:
        yield table


@pytest.mark.parametrize("fault", LOST)
async def test_an_upload_is_settled_by_asking_again(behind: FileStore, table: SqliteTable, fault: Fault) -> None:
    async with FaultyStore(behind, **{name: [fault] for name in OF_STORES}) as faulty:
        registry = Registry(table, faulty)
        number = await registry.begin("model")
        with pytest.raises(UnavailableError):
            await registry.send("model", number)
        await registry.send("model", number)
        faulty.meet(stat=[fault])
        with pytest.raises(UnavailableError):
            await registry.services.uploads.complete("model", number, caller())
        assert await registry.stages("model") == {}
        await registry.services.uploads.complete("model", number, caller())
    assert [event.generation for event in await registry.history("model")] == [1, 2]
    assert await registry.faults() == []
