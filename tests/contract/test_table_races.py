"""What `modelkeep.storage.table` promises of many callers at once, on every driver."""

import asyncio
import uuid
from collections.abc import Sequence

import pytest

from modelkeep.storage.table import (
    Absent,
    CommitStateUnknownError,
    ConditionFailedError,
    Equals,
    Item,
    ItemKey,
    Present,
    Put,
    Table,
    TransactionConflictError,
    Write,
)

pytestmark = pytest.mark.every_backend

COUNTER = ItemKey("counter", 0)


@pytest.fixture
def callers(*, thorough: bool) -> int:
    """Each contends with all others: twice as many are four times the work."""
    return 32 if thorough else 8


def item(key: ItemKey, **attributes: str | int) -> Item:
    return {"model_name": key.partition, "version": key.sort, **attributes}


async def settled(table: Table, *writes: Write) -> bool:
    """Tell whether the transaction happened; resend it while it may yet."""
    token = str(uuid.uuid4())
    while True:
        try:
            await table.transact(writes, request_token=token)
        except ConditionFailedError:
            return False
        except (TransactionConflictError, CommitStateUnknownError):
            await asyncio.sleep(0.02)
        else:
            return True


async def count(table: Table) -> int:
    found = await table.get(COUNTER)
    assert found is not None
    return int(found["n"])


async def test_one_of_many_creators_wins(table: Table, callers: int) -> None:
    for attempt in range(5):
        key = ItemKey("prize", attempt)
        outcomes = await asyncio.gather(
            *(settled(table, Put(item(key, owner=owner), Absent())) for owner in range(callers))
        )
        assert outcomes.count(True) == 1
        won = await table.get(key)
        assert won is not None
        assert won["owner"] == outcomes.index(True)


async def test_no_guarded_increment_is_lost(table: Table, callers: int) -> None:
    await settled(table, Put(item(COUNTER, n=0), Absent()))
    await asyncio.gather(*(increment(table) for _ in range(callers)))
    assert await count(table) == callers


async def increment(table: Table) -> None:
    while True:
        n = await count(table)
        if await settled(table, Put(item(COUNTER, n=n + 1), Equals({"n": n}))):
            return


async def test_numbers_claimed_with_a_counter_are_gapless_and_unique(table: Table, callers: int) -> None:
    await settled(table, Put(item(COUNTER, n=0), Absent()))
    await asyncio.gather(*(claim(table) for _ in range(callers)))
    claimed = await table.query("claims", limit=100)
    assert [int(claim["version"]) for claim in claimed.items] == list(range(1, callers + 1))


async def claim(table: Table) -> None:
    while True:
        n = await count(table)
        raised = Put(item(COUNTER, n=n + 1), Equals({"n": n}))
        if await settled(table, raised, Put(item(ItemKey("claims", n + 1)), Absent())):
            return


async def test_one_token_sent_by_many_at_once_takes_effect_once(table: Table, callers: int) -> None:
    await settled(table, Put(item(COUNTER, n=0), Absent()))
    token = str(uuid.uuid4())
    writes: Sequence[Write] = [Put(item(COUNTER, n=1), Equals({"n": 0})), Put(item(ItemKey("effect", 1)), Absent())]
    await asyncio.gather(*(resend(table, writes, token) for _ in range(callers)))
    assert await count(table) == 1


async def resend(table: Table, writes: Sequence[Write], token: str) -> None:
    while True:
        try:
            await table.transact(writes, request_token=token)
        except (TransactionConflictError, CommitStateUnknownError):
            await asyncio.sleep(0.02)
        else:
            return


async def test_a_read_never_goes_back_behind_another(table: Table) -> None:
    """The first item of a pair read before the second is never ahead of it."""
    first, second = ItemKey("first", 1), ItemKey("second", 1)
    await settled(table, Put(item(first, n=0), Absent()), Put(item(second, n=0), Absent()))
    writing = asyncio.create_task(write_pairs(table, first, second))
    while not writing.done():
        before, after = await table.get(first), await table.get(second)
        assert before is not None
        assert after is not None
        assert after["n"] >= before["n"]
        await asyncio.sleep(0)
    await writing


async def write_pairs(table: Table, first: ItemKey, second: ItemKey) -> None:
    for n in range(1, 100):
        assert await settled(table, Put(item(first, n=n), Present()), Put(item(second, n=n), Present()))


async def test_a_cancelled_caller_tears_nothing(table: Table) -> None:
    for n in range(1, 31):
        pair = [Put(item(ItemKey("first", n)), Absent()), Put(item(ItemKey("second", n)), Absent())]
        task = asyncio.create_task(settled(table, *pair))
        await asyncio.sleep(n / 10_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await settled(table, Put(item(COUNTER, n=1), Absent()))
    await asyncio.sleep(0.3)
    first, second = await table.query("first", limit=100), await table.query("second", limit=100)
    assert [pair["version"] for pair in first.items] == [pair["version"] for pair in second.items]
