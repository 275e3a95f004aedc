"""A watched driver is the driver, and of each of its calls somebody is told how it went."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.storage.instrumentation import OperationTiming, Result, instrument_store, instrument_table
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, ObjectGoneError, StoreUnavailableError
from modelkeep.storage.table import (
    CommitStateUnknownError,
    ConditionFailedError,
    ItemKey,
    TableUnavailableError,
    TransactionConflictError,
)
from tests.support.stores import digest_of, presign

KEY = ItemKey("m", 1)
RAISED: list[tuple[BaseException, Result]] = [
    (ConditionFailedError([True], [None]), "refused"),
    (ObjectGoneError(), "refused"),
    (MultipartGoneError(), "refused"),
    (MultipartRefusedError(), "refused"),
    (ObjectExistsError(), "refused"),
    (BodyMismatchError(), "refused"),
    (TransactionConflictError(), "contended"),
    (CommitStateUnknownError(), "outcome_unknown"),
    (TableUnavailableError("away"), "unavailable"),
    (StoreUnavailableError("away"), "unavailable"),
    (asyncio.CancelledError(), "cancelled"),
    (RuntimeError("a bug"), "error"),
]


@pytest.fixture
def calls() -> list[OperationTiming]:
    return []


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[SqliteTable]:
    async with SqliteTable.open(tmp_path / "registry.db") as table:
        yield table


async def test_each_call_is_told_with_its_time(table: SqliteTable, calls: list[OperationTiming]) -> None:
    watched = instrument_table(table, calls.append)
    assert await watched.get(KEY) is None
    assert (await watched.query("m", limit=1)).items == []
    assert [(call.backend, call.operation, call.result) for call in calls] == [
        ("table", "get", "ok"),
        ("table", "query", "ok"),
    ]
    assert all(0 < call.seconds < 10 for call in calls)


@pytest.mark.parametrize(("error", "result"), RAISED, ids=lambda value: type(value).__name__)
async def test_what_is_raised_is_told_and_raised(
    table: SqliteTable, calls: list[OperationTiming], monkeypatch: pytest.MonkeyPatch, error: BaseException, result: str
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(SqliteTable, "transact", fail)
    with pytest.raises(type(error)) as raised:
        await instrument_table(table, calls.append).transact([], request_token="t")
    assert raised.value is error
    assert [(call.operation, call.result) for call in calls] == [("transact", result)]


def test_every_result_is_one_that_can_happen() -> None:
    assert {result for _, result in RAISED} | {"ok"} == set(get_args(Result))


async def test_a_call_that_nobody_waits_for_any_more_is_told(
    table: SqliteTable, calls: list[OperationTiming], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(SqliteTable, "get", hang)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await instrument_table(table, calls.append).get(KEY)
    assert [call.result for call in calls] == ["cancelled"]
    assert calls[0].seconds >= 0.005


async def test_a_store_signs_and_walks_as_before(tmp_path: Path, calls: list[OperationTiming]) -> None:
    store = instrument_store(await FileStore.open(tmp_path, public_url="http://registry"), calls.append)
    assert (await presign(store, "models/m/v1/a", b"x")).method == "PUT"
    assert [found async for found in store.list_objects("")] == []
    assert store.uri("k").startswith("file://")
    assert calls == []

    async def blocks() -> AsyncIterator[bytes]:
        yield b"x"

    await store.put("models/m/v1/a", blocks(), size=1, sha256=digest_of(b"x"))
    assert await store.stat("models/m/v1/a") is not None
    assert [(call.backend, call.operation) for call in calls] == [("store", "put"), ("store", "stat")]
