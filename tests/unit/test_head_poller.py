"""Long polling: one poller per model, shared by all waiters."""

import asyncio
from collections.abc import Callable

import pytest

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.models import Head
from modelkeep.services.reading.head_poller import POLL_SECONDS, HeadPoller
from tests.support.builders import MODEL, head
from tests.support.virtual_time import in_virtual_time


class Table:
    """Has a head of some generation for every model, unless it is away; records the reads."""

    def __init__(self, generation: int = 6) -> None:
        self.generation: int | None = generation
        self.is_away = False
        self.reads: list[str] = []

    async def find(self, model: str) -> Head | None:
        self.reads.append(model)
        await asyncio.sleep(0.001)
        if self.is_away:
            raise UnavailableError("away")
        return None if self.generation is None else head(model=model, generation=self.generation)


def never() -> bool:
    return False


def now() -> float:
    return asyncio.get_running_loop().time()


def waiting(
    poller: HeadPoller, *, generation: int = 6, seconds: float = 60, model: str = MODEL
) -> "asyncio.Task[tuple[bool, float]]":
    """A waiter: what it gets, and after how many seconds, to a tenth."""

    async def wait() -> tuple[bool, float]:
        began = now()
        return await poller.wait_for_change(model, generation, until=began + seconds), round(now() - began, 1)

    return asyncio.create_task(wait())


def test_a_thousand_waiters_cost_a_read_a_second() -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        answers = await asyncio.gather(*(waiting(poller, seconds=30) for _ in range(1_000)))
        assert answers == [(False, 30)] * 1_000
        assert 29 <= len(table.reads) <= 30

    in_virtual_time(check())


def test_waiters_that_come_and_go_share_the_reads() -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        waits = []
        for _ in range(100):
            waits.append(waiting(poller, seconds=3))
            await asyncio.sleep(0.1)
        await asyncio.gather(*waits)
        assert len(table.reads) <= 13

    in_virtual_time(check())


def test_a_later_generation_wakes_only_the_waiters_for_it() -> None:
    async def check() -> None:
        table = Table(5)
        poller = HeadPoller(table.find, never)
        waits = {generation: waiting(poller, generation=generation, seconds=20) for generation in (5, 6, 7)}
        await asyncio.sleep(5.5)
        assert not any(wait.done() for wait in waits.values())
        table.generation = 6
        await asyncio.sleep(POLL_SECONDS + 0.1)
        assert [wait.done() for wait in waits.values()] == [True, False, False]
        table.generation = 9
        assert await waits[7] == await waits[6]
        assert (await waits[6])[0]
        assert await waits[5] == (True, 6)

    in_virtual_time(check())


def test_a_generation_that_was_read_already_needs_no_read() -> None:
    async def check() -> None:
        table = Table(7)
        poller = HeadPoller(table.find, never)
        other = waiting(poller, generation=7, seconds=10)
        await asyncio.sleep(2.5)
        reads = len(table.reads)
        assert await waiting(poller, generation=6) == (True, 0)
        assert len(table.reads) == reads
        await other

    in_virtual_time(check())


def test_what_the_process_has_changed_itself_is_told_at_once_without_a_read() -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        ours = waiting(poller)
        others = [waiting(poller, generation=7, seconds=0.9), waiting(poller, model="other", seconds=0.9)]
        await asyncio.sleep(0.2)
        poller.publish(head(model=MODEL, generation=7))
        poller.publish(head(model="nobody-waits", generation=7))
        assert await ours == (True, 0.2)
        assert await asyncio.gather(*others) == [(False, 0.9)] * 2
        assert not table.reads

    in_virtual_time(check())


def test_a_wait_that_is_over_returns_false_whatever_was_read() -> None:
    async def check() -> None:
        poller = HeadPoller(Table(7).find, never)
        other = waiting(poller, generation=7, seconds=10)
        await asyncio.sleep(2.5)
        assert await waiting(poller, generation=6, seconds=0) == (False, 0)
        assert await waiting(poller, generation=6, seconds=-1) == (False, 0)
        await other

    in_virtual_time(check())


def test_models_are_polled_apart() -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        await asyncio.gather(*(waiting(poller, model=model, seconds=4.5) for model in ("a", "b") for _ in range(9)))
        assert (table.reads.count("a"), table.reads.count("b")) == (4, 4)

    in_virtual_time(check())


@pytest.mark.parametrize(
    "vanish", [lambda table: setattr(table, "is_away", True), lambda t: setattr(t, "generation", None)]
)
def test_a_table_that_is_away_and_a_head_that_is_absent_are_read_again(
    vanish: Callable[[Table], None],
) -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        waits = [waiting(poller) for _ in range(3)]
        vanish(table)
        await asyncio.sleep(10.5)
        assert len(table.reads) == 10
        assert not any(wait.done() for wait in waits)
        table.is_away, table.generation = False, 7
        assert await asyncio.gather(*waits) == [(True, 11)] * 3

    in_virtual_time(check())


def test_no_wait_outlasts_draining() -> None:
    async def check() -> None:
        table, draining = Table(), asyncio.Event()
        poller = HeadPoller(table.find, draining.is_set)
        waits = [waiting(poller, model=model) for model in ("a", "a", "b")]
        await asyncio.sleep(3.5)
        draining.set()
        for wait in waits:
            changed, seconds = await wait
            assert not changed
            assert seconds <= 3.5 + POLL_SECONDS + 0.1
        assert await waiting(poller) == (False, 0)

    in_virtual_time(check())


def test_a_cancelled_waiter_does_not_disturb_others_and_the_last_ends_the_polling() -> None:
    async def check() -> None:
        table = Table()
        poller = HeadPoller(table.find, never)
        stays, leaves = waiting(poller), waiting(poller)
        await asyncio.sleep(1.5)
        leaves.cancel()
        await asyncio.sleep(1)
        assert len(table.reads) == 2
        stays.cancel()
        await asyncio.sleep(5)
        assert len(table.reads) == 2
        assert not poller._subscriptions
        table.generation = 7
        assert await waiting(poller) == (True, POLL_SECONDS)

    in_virtual_time(check())
