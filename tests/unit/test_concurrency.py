"""What bounded concurrency, keyed locks and backoff promise."""

import asyncio

import pytest

from modelkeep.kit.backoff import full_jitter
from modelkeep.kit.concurrency import gather_limited
from modelkeep.kit.keyed_lock import KeyedLock


async def test_results_come_in_the_order_of_the_items() -> None:
    async def later(delay: int) -> int:
        await asyncio.sleep(delay / 1000)
        return delay

    assert await gather_limited(later, [20, 0, 10]) == [20, 0, 10]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_there_is_a_result_for_each_item(count: int) -> None:
    async def same(item: int) -> int:
        return item

    assert await gather_limited(same, range(count), limit=2) == list(range(count))


async def test_no_more_calls_than_the_limit_run_at_a_time() -> None:
    running = most = 0

    async def call(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    await gather_limited(call, range(20), limit=3)
    assert most == 3


async def test_the_first_exception_ends_the_others_and_begins_no_more() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def call(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise LookupError(item)
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.01)
            ended.append(item)

    with pytest.raises(LookupError):
        await gather_limited(call, range(10), limit=3)
    assert begun == [0, 1, 2]
    assert sorted(ended) == [0, 2]


async def test_a_caller_that_is_cancelled_leaves_nothing_running() -> None:
    ended: list[int] = []

    async def call(item: int) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(item)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await gather_limited(call, range(4), limit=2)
    assert sorted(ended) == [0, 1]


async def test_a_key_is_held_by_one_at_a_time_in_turn_and_others_do_not_wait() -> None:
    locks, order = KeyedLock(), []

    async def hold(key: str, name: str) -> None:
        async with locks.acquire(key, timeout=1):
            order.append(f"{name} begins")
            await asyncio.sleep(0.01)
            order.append(f"{name} ends")

    await asyncio.gather(hold("a", "first"), hold("a", "second"), hold("b", "other"))
    assert [step for step in order if "other" not in step] == [
        "first begins",
        "first ends",
        "second begins",
        "second ends",
    ]
    assert order.index("other begins") < order.index("first ends")
    assert locks._locks == {}


async def test_a_lock_is_not_waited_for_longer_than_its_timeout_and_may_be_held_longer() -> None:
    locks = KeyedLock()
    async with locks.acquire("a", timeout=0.01):
        with pytest.raises(TimeoutError):
            async with locks.acquire("a", timeout=0.01):
                pytest.fail("two at once")
        await asyncio.sleep(0.02)
    assert locks._locks == {}


@pytest.mark.parametrize(("attempt", "longest"), [(0, 0.5), (1, 1.0), (4, 8.0), (5, 8.0), (60, 8.0)])
def test_pauses_double_to_the_cap_and_are_spread_from_zero(attempt: int, longest: float) -> None:
    pauses = [full_jitter(attempt, base=0.5, cap=8.0) for _ in range(2000)]
    assert all(0 <= pause <= longest for pause in pauses)
    assert min(pauses) < 0.05 * longest
    assert max(pauses) > 0.95 * longest
