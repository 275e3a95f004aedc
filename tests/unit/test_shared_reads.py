"""One reading for all who ask at the same time, which began after each of them had asked."""

import asyncio
from collections.abc import Sequence

import pytest

from modelkeep.services.reading import single_flight
from modelkeep.services.reading.single_flight import (
    BYPASS_SECONDS,
    LINGER_SECONDS,
    LOOP_LAG_SECONDS,
    MAX_BATCH,
    MAX_DELAY_SECONDS,
    MIN_BATCH,
    UNDELAYED_PER_SECOND,
    SingleFlight,
)
from tests.support.virtual_time import be_busy, in_virtual_time


class Store:
    """Counts the readings of it, each of which takes so long, and answers with the number of writes at its start.

    It is read by one at a time.
    """

    def __init__(self, seconds: float = 0.002) -> None:
        self.writes = 0
        self.began: list[float] = []
        self.is_read = False
        self._seconds = seconds

    async def read(self, key: str) -> int:
        self.began.append(asyncio.get_running_loop().time())
        assert not self.is_read, key
        self.is_read = True
        seen = self.writes
        await asyncio.sleep(self._seconds)
        self.is_read = False
        return seen


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(second: float) -> None:
    await asyncio.sleep(second - now())


async def busy(reads: SingleFlight[str, int], store: Store) -> None:
    """Use up what begins without delay in this second."""
    for _ in range(UNDELAYED_PER_SECOND):
        await reads.get("a")
    assert len(store.began) == UNDELAYED_PER_SECOND


def test_who_asks_during_a_reading_gets_the_next_one() -> None:
    async def ask() -> None:
        store = Store()
        reads = SingleFlight(store.read)
        first = asyncio.create_task(reads.get("a"))
        await asyncio.sleep(0.001)
        store.writes = 1
        second, third = asyncio.create_task(reads.get("a")), asyncio.create_task(reads.get("a"))
        assert (await first, await second, await third) == (0, 1, 1)
        assert len(store.began) == 2

    in_virtual_time(ask())


def test_what_was_written_before_a_question_is_in_its_answer() -> None:
    """Whatever the pace of questions and writes."""

    async def ask(pause: float, seconds: float) -> None:
        store = Store(seconds)
        reads = SingleFlight(store.read)

        async def question(at: float) -> None:
            await asyncio.sleep(at)
            store.writes += 1
            written = store.writes
            assert await reads.get("a") >= written

        await asyncio.gather(*(question(number * pause) for number in range(100)))

    for pause in (0.0001, 0.001, 0.003, 0.007, 0.02):
        for seconds in (0, 0.001, 0.01):
            in_virtual_time(ask(pause, seconds))


def test_those_who_ask_in_one_turn_share_a_reading() -> None:
    async def ask() -> None:
        store = Store()
        reads = SingleFlight(store.read)
        assert await asyncio.gather(*(reads.get("a") for _ in range(1_000))) == [0] * 1_000
        assert len(store.began) == 1

    in_virtual_time(ask())


def test_a_failure_is_everybody_s_and_the_next_question_reads_anew() -> None:
    async def ask() -> None:
        failures = [OSError("away")]

        async def read(_: str) -> int:
            await asyncio.sleep(0)
            if failures:
                raise failures.pop()
            return 7

        reads = SingleFlight(read)
        answers = await asyncio.gather(*(reads.get("a") for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["away"] * 3
        assert await reads.get("a") == 7

    in_virtual_time(ask())


def test_who_asked_during_a_reading_that_fails_is_answered_by_the_next() -> None:
    async def ask() -> None:
        failures = [OSError("away")]

        async def read(_: str) -> int:
            await asyncio.sleep(0.01)
            if failures:
                raise failures.pop()
            return 7

        reads = SingleFlight(read)
        first = asyncio.create_task(reads.get("a"))
        await asyncio.sleep(0.005)
        assert await reads.get("a") == 7
        with pytest.raises(OSError, match="away"):
            await first

    in_virtual_time(ask())


def test_a_reading_that_is_cancelled_keeps_nobody_waiting() -> None:
    async def ask() -> None:
        cancelled = [asyncio.CancelledError()]

        async def read(_: str) -> int:
            await asyncio.sleep(0)
            if cancelled:
                raise cancelled.pop()
            return 7

        reads = SingleFlight(read)
        async with asyncio.timeout(1):
            answers = await asyncio.gather(*(reads.get("a") for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3
        assert await reads.get("a") == 7

    in_virtual_time(ask())


@pytest.mark.parametrize("leaving", [[0], [1], [0, 1, 2]])
def test_who_leaves_disturbs_nobody(leaving: Sequence[int]) -> None:
    """Before the reading, or during it; also if all leave."""

    async def ask(after: float) -> None:
        store = Store(0.01)
        reads = SingleFlight(store.read)
        asking = [asyncio.create_task(reads.get("a")) for _ in range(3)]
        await asyncio.sleep(after)
        for number in leaving:
            asking[number].cancel()
        during = asyncio.create_task(reads.get("a"))
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [n in leaving for n in range(3)]
        assert await during == 0

    for after in (0, 0.005):
        in_virtual_time(ask(after))


def test_keys_do_not_wait_for_each_other() -> None:
    async def ask() -> None:
        never = asyncio.Event()

        async def read(key: str) -> int:
            if key == "slow":
                await never.wait()
            return len(key)

        reads = SingleFlight(read)
        slow = asyncio.create_task(reads.get("slow"))
        await asyncio.sleep(0)
        began = now()
        assert await asyncio.gather(*(reads.get("x" * length) for length in range(1, 4))) == [1, 2, 3]
        assert now() == began
        never.set()
        assert await slow == 4

    in_virtual_time(ask())


@pytest.mark.parametrize("seconds", [0, 0.002, 0.02])
def test_a_thousand_questions_in_a_second_cost_a_hundred_readings(seconds: float) -> None:
    async def ask() -> int:
        store = Store(seconds)
        reads = SingleFlight(store.read)
        longest = 0.0

        async def question(at: float) -> None:
            nonlocal longest
            await until(at)
            await reads.get("a")
            longest = max(longest, now() - at)

        start = now()
        await asyncio.gather(*(question(start + number / 1_000) for number in range(1_000)))
        assert longest <= MAX_DELAY_SECONDS + 2 * seconds + 0.001
        return len(store.began)

    assert UNDELAYED_PER_SECOND < in_virtual_time(ask()) <= 100


def test_who_asks_again_and_again_is_held_back_ten_times_a_second_at_most() -> None:
    async def ask() -> None:
        store = Store(0.001)
        reads = SingleFlight(store.read)
        start = now()
        slow = []
        while now() < start + 3:
            asked = now()
            await reads.get("a")
            if now() - asked > 0.0011:
                slow.append(round(now() - asked, 6))
        assert set(slow) == {LINGER_SECONDS + 0.001}
        assert 3 <= len(slow) <= 3 / BYPASS_SECONDS
        assert len(store.began) > 2_800

    in_virtual_time(ask())


def test_a_look_that_comes_too_late_is_no_sign_that_nobody_comes() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        alone = asyncio.create_task(reads.get("a"))
        await asyncio.sleep(0)
        be_busy(LINGER_SECONDS + 2 * LOOP_LAG_SECONDS)
        await alone
        asked = now()
        await reads.get("a")
        assert now() - asked == pytest.approx(LINGER_SECONDS)

    in_virtual_time(ask())


def test_a_few_who_ask_at_once_are_company_enough_to_be_held_back_again() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        for _ in range(5):
            asked = now()
            await asyncio.gather(*(reads.get("a") for _ in range(MIN_BATCH)))
            assert now() - asked == pytest.approx(LINGER_SECONDS)

    in_virtual_time(ask())


def test_a_crowd_begins_at_once() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        await asyncio.gather(*(reads.get("a") for _ in range(MAX_BATCH)))
        assert now() == asked
        await asyncio.gather(*(reads.get("a") for _ in range(MAX_BATCH - 1)))
        assert now() == pytest.approx(asked + LINGER_SECONDS)
        assert len(store.began) == UNDELAYED_PER_SECOND + 2

    in_virtual_time(ask())


def test_a_reading_is_held_back_while_others_join_but_not_longer() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        asking = []
        for _ in range(10):
            asking.append(asyncio.create_task(reads.get("a")))
            await asyncio.sleep(0.003)
        await asyncio.gather(*asking)
        assert store.began[UNDELAYED_PER_SECOND] - asked == pytest.approx(MAX_DELAY_SECONDS)
        assert len(store.began) == UNDELAYED_PER_SECOND + 2

    in_virtual_time(ask())


def test_a_reading_that_is_held_back_ends_when_nobody_joins() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        await asyncio.gather(reads.get("a"), *(later(reads, 0.003) for _ in range(MIN_BATCH)))
        assert store.began[UNDELAYED_PER_SECOND:] == [pytest.approx(asked + 0.003 + LINGER_SECONDS)]

    async def later(reads: SingleFlight[str, int], seconds: float) -> None:
        await asyncio.sleep(seconds)
        await reads.get("a")

    in_virtual_time(ask())


def test_lines_in_which_nobody_waits_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "_PRUNED_AT", 10)

    async def ask() -> None:
        release = asyncio.Event()

        async def read(key: str) -> int:
            if key == "kept":
                await release.wait()
            return 1

        reads = SingleFlight(read)
        kept = [asyncio.create_task(reads.get("kept"))]
        for number in range(100):
            await reads.get(f"{number}")
            assert len(reads._lines) <= 11
        kept.append(asyncio.create_task(reads.get("kept")))
        await asyncio.sleep(0)
        release.set()
        async with asyncio.timeout(1):
            assert await asyncio.gather(*kept) == [1, 1]

    in_virtual_time(ask())
