"""Waiting for a model to change, with one who looks for all who wait."""

import asyncio
from collections.abc import Callable

import pytest

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.models import Head
from modelkeep.services.reading.head_poller import POLL_SECONDS, HeadPoller
from tests.support.builders import MODEL, head
from tests.support.virtual_time import in_virtual_time


class Table:
    """Has a head of some generation for every model, unless it is away; counts the looks."""

    def __init__(self, generation: int = 6) -> None:
        self.generation: int | None = generation
        self.is_away = False
        self.looks: list[str] = []

    async def find(self, model: str) -> Head | None:
        self.looks.append(model)
        await asyncio.sleep(0.001)
        if self.is_away:
            raise UnavailableError("away")
        return None if self.generation is None else head(model=model, generation=self.generation)


def never() -> bool:
    return False


def now() -> float:
    return asyncio.get_running_loop().time()


def waiting(
    watch: HeadPoller, *, generation: int = 6, seconds: float = 60, model: str = MODEL
) -> "asyncio.Task[tuple[bool, float]]":
    """Somebody who waits, what he is told, and after how many seconds, to a tenth."""

    async def wait() -> tuple[bool, float]:
        began = now()
        return await watch.moved(model, generation, until=began + seconds), round(now() - began, 1)

    return asyncio.create_task(wait())


def test_a_thousand_who_wait_cost_a_look_a_second() -> None:
    async def ask() -> None:
        table = Table()
        watch = HeadPoller(table.find, never)
        answers = await asyncio.gather(*(waiting(watch, seconds=30) for _ in range(1_000)))
        assert answers == [(False, 30)] * 1_000
        assert 29 <= len(table.looks) <= 30

    in_virtual_time(ask())


def test_those_who_come_and_go_share_the_looks() -> None:
    async def ask() -> None:
        table = Table()
        watch = HeadPoller(table.find, never)
        asked = []
        for _ in range(100):
            asked.append(waiting(watch, seconds=3))
            await asyncio.sleep(0.1)
        await asyncio.gather(*asked)
        assert len(table.looks) <= 13

    in_virtual_time(ask())


def test_a_later_generation_wakes_who_waits_for_it_and_nobody_else() -> None:
    async def ask() -> None:
        table = Table(5)
        watch = HeadPoller(table.find, never)
        waits = {generation: waiting(watch, generation=generation, seconds=20) for generation in (5, 6, 7)}
        await asyncio.sleep(5.5)
        assert not any(wait.done() for wait in waits.values())
        table.generation = 6
        await asyncio.sleep(POLL_SECONDS + 0.1)
        assert [wait.done() for wait in waits.values()] == [True, False, False]
        table.generation = 9
        assert await waits[7] == await waits[6]
        assert (await waits[6])[0]
        assert await waits[5] == (True, 6)

    in_virtual_time(ask())


def test_what_has_been_seen_already_is_told_without_a_look() -> None:
    async def ask() -> None:
        table = Table(7)
        watch = HeadPoller(table.find, never)
        other = waiting(watch, generation=7, seconds=10)
        await asyncio.sleep(2.5)
        looks = len(table.looks)
        assert await waiting(watch, generation=6) == (True, 0)
        assert len(table.looks) == looks
        await other

    in_virtual_time(ask())


def test_whose_time_is_over_is_told_so_whatever_has_been_seen() -> None:
    async def ask() -> None:
        watch = HeadPoller(Table(7).find, never)
        other = waiting(watch, generation=7, seconds=10)
        await asyncio.sleep(2.5)
        assert await waiting(watch, generation=6, seconds=0) == (False, 0)
        assert await waiting(watch, generation=6, seconds=-1) == (False, 0)
        await other

    in_virtual_time(ask())


def test_models_are_watched_apart() -> None:
    async def ask() -> None:
        table = Table()
        watch = HeadPoller(table.find, never)
        await asyncio.gather(*(waiting(watch, model=model, seconds=4.5) for model in ("a", "b") for _ in range(9)))
        assert (table.looks.count("a"), table.looks.count("b")) == (4, 4)

    in_virtual_time(ask())


@pytest.mark.parametrize(
    "vanish", [lambda table: setattr(table, "is_away", True), lambda t: setattr(t, "generation", None)]
)
def test_a_table_that_is_away_and_a_head_that_is_not_there_are_looked_at_again(
    vanish: Callable[[Table], None],
) -> None:
    async def ask() -> None:
        table = Table()
        watch = HeadPoller(table.find, never)
        waits = [waiting(watch) for _ in range(3)]
        vanish(table)
        await asyncio.sleep(10.5)
        assert len(table.looks) == 10
        assert not any(wait.done() for wait in waits)
        table.is_away, table.generation = False, 7
        assert await asyncio.gather(*waits) == [(True, 11)] * 3

    in_virtual_time(ask())


def test_nobody_waits_while_the_process_ends() -> None:
    async def ask() -> None:
        table, ending = Table(), asyncio.Event()
        watch = HeadPoller(table.find, ending.is_set)
        waits = [waiting(watch, model=model) for model in ("a", "a", "b")]
        await asyncio.sleep(3.5)
        ending.set()
        for wait in waits:
            told, seconds = await wait
            assert not told
            assert seconds <= 3.5 + POLL_SECONDS + 0.1
        assert await waiting(watch) == (False, 0)

    in_virtual_time(ask())


def test_who_leaves_disturbs_nobody_and_the_last_one_ends_the_looks() -> None:
    async def ask() -> None:
        table = Table()
        watch = HeadPoller(table.find, never)
        stays, leaves = waiting(watch), waiting(watch)
        await asyncio.sleep(1.5)
        leaves.cancel()
        await asyncio.sleep(1)
        assert len(table.looks) == 2
        stays.cancel()
        await asyncio.sleep(5)
        assert len(table.looks) == 2
        assert not watch._watched
        table.generation = 7
        assert await waiting(watch) == (True, POLL_SECONDS)

    in_virtual_time(ask())
