"""A deletion of many steps, and what others do between two of them."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from modelkeep.domain.changes import MAX_SUBJECTS
from modelkeep.domain.errors import ModelBeingDeletedError, ModelNotFoundError, OutcomeUnknownError
from modelkeep.domain.events import EventType
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Table, Write
from tests.support.faults.storage import FaultyTable
from tests.support.registries import Registry, caller

pytestmark = pytest.mark.one_backend

MODEL = "fraud-detector"
MANY = MAX_SUBJECTS + 5


class Interrupted(FaultyTable):
    """After the next transaction, something else happens before its answer arrives."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        await super().transact(writes, request_token=request_token)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            await meanwhile()


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path / "data", public_url="http://registry")


@pytest.fixture
async def other(table: Table, store: FileStore) -> Registry:
    """A process with a model of too many uploads for one step."""
    registry = Registry(table, store)
    for _ in range(MANY):
        await registry.begin(MODEL)
    return registry


async def delete_with(table: Table, store: FileStore, meanwhile: Callable[[], Awaitable[object]]) -> None:
    interrupted = Interrupted(table)
    registry = Registry(interrupted, store)
    await registry.services.models.get(MODEL, caller())
    interrupted.meanwhile = meanwhile
    await registry.services.models.delete(MODEL, caller())


@pytest.mark.every_backend
async def test_it_takes_all_in_several_steps(table: Table, store: FileStore, other: Registry) -> None:
    await other.services.models.delete(MODEL, caller())
    assert [event.generation for event in await other.history(MODEL)] == list(range(1, 2 * MANY + 2))
    assert await other.faults() == []
    with pytest.raises(ModelNotFoundError):
        await other.services.models.delete(MODEL, caller())


async def test_between_its_steps_nothing_begins(table: Table, store: FileStore, other: Registry) -> None:
    async def begin() -> None:
        with pytest.raises(ModelBeingDeletedError):
            await other.begin(MODEL)

    await delete_with(table, store, begin)
    assert await other.begin(MODEL) == MANY + 1


async def test_two_deletions_at_once_both_succeed(table: Table, store: FileStore, other: Registry) -> None:
    async def finish() -> None:
        await other.services.models.delete(MODEL, caller())

    await delete_with(table, store, finish)
    assert await other.faults() == []


async def test_it_does_not_delete_what_has_begun_since(table: Table, store: FileStore, other: Registry) -> None:
    async def finish_and_begin() -> None:
        await other.services.models.delete(MODEL, caller())
        assert await other.register(MODEL) == MANY + 1

    await delete_with(table, store, finish_and_begin)
    assert (await other.services.models.get(MODEL, caller())).latest_version == MANY + 1
    assert await other.faults() == []


async def test_a_repeat_with_the_same_key_goes_on_and_succeeds(table: Table, store: FileStore, other: Registry) -> None:
    class Crash(Exception):  # noqa: N818 -- not ours to raise
        pass

    async def crash() -> None:
        raise Crash

    interrupted = Interrupted(table)
    interrupted.meanwhile = crash
    with pytest.raises(OutcomeUnknownError):
        await Registry(interrupted, store).services.models.delete(MODEL, caller(key="key"))
    for _ in range(2):
        await other.services.models.delete(MODEL, caller(key="key"))
    assert await other.faults() == []
    assert [event.type for event in await other.history(MODEL)].count(EventType.MODEL_DELETED) == 1
