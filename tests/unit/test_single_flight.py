"""One read for all concurrent callers, which starts after each of their calls."""

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
    """Records when its reads start, each of which takes `seconds`; a read returns the number of writes at its start.

    Two reads at a time fail.
    """

    def __init__(self, seconds: float = 0.002) -> None:
        self.writes = 0
        self.started: list[float] = []
        self.is_read = False
        self._seconds = seconds

    async def read(self, key: str) -> int:
        self.started.append(asyncio.get_running_loop().time())
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
    """Use up the reads that start without delay in this second."""
    for _ in range(UNDELAYED_PER_SECOND):
        await reads.load("a")
    assert len(store.started) == UNDELAYED_PER_SECOND


def test_a_call_during_a_read_gets_the_next_read() -> None:
    async def ask() -> None:
        store = Store()
        reads = SingleFlight(store.read)
        first = asyncio.create_task(reads.load("a"))
        await asyncio.sleep(0.001)
        store.writes = 1
        second, third = asyncio.create_task(reads.load("a")), asyncio.create_task(reads.load("a"))
        assert (await first, await second, await third) == (0, 1, 1)
        assert len(store.started) == 2

    in_virtual_time(ask())


def test_a_write_before_a_call_is_in_its_answer() -> None:
    """Whatever the pace of calls and writes."""

    async def ask(pause: float, seconds: float) -> None:
        store = Store(seconds)
        reads = SingleFlight(store.read)

        async def call(at: float) -> None:
            await asyncio.sleep(at)
            store.writes += 1
            written = store.writes
            assert await reads.load("a") >= written

        await asyncio.gather(*(call(number * pause) for number in range(100)))

    for pause in (0.0001, 0.001, 0.003, 0.007, 0.02):
        for seconds in (0, 0.001, 0.01):
            in_virtual_time(ask(pause, seconds))


def test_calls_in_one_turn_of_the_loop_share_a_read() -> None:
    async def ask() -> None:
        store = Store()
        reads = SingleFlight(store.read)
        assert await asyncio.gather(*(reads.load("a") for _ in range(1_000))) == [0] * 1_000
        assert len(store.started) == 1

    in_virtual_time(ask())


def test_a_failure_is_every_caller_s_and_the_next_call_reads_again() -> None:
    async def ask() -> None:
        failures = [OSError("away")]

        async def read(_: str) -> int:
            await asyncio.sleep(0)
            if failures:
                raise failures.pop()
            return 7

        reads = SingleFlight(read)
        answers = await asyncio.gather(*(reads.load("a") for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["away"] * 3
        assert await reads.load("a") == 7

    in_virtual_time(ask())


def test_a_call_during_a_read_that_fails_is_answered_by_the_next() -> None:
    async def ask() -> None:
        failures = [OSError("away")]

        async def read(_: str) -> int:
            await asyncio.sleep(0.01)
            if failures:
                raise failures.pop()
            return 7

        reads = SingleFlight(read)
        first = asyncio.create_task(reads.load("a"))
        await asyncio.sleep(0.005)
        assert await reads.load("a") == 7
        with pytest.raises(OSError, match="away"):
            await first

    in_virtual_time(ask())


def test_a_read_that_is_cancelled_cancels_its_callers() -> None:
    async def ask() -> None:
        cancelled = [asyncio.CancelledError()]

        async def read(_: str) -> int:
            await asyncio.sleep(0)
            if cancelled:
                raise cancelled.pop()
            return 7

        reads = SingleFlight(read)
        async with asyncio.timeout(1):
            answers = await asyncio.gather(*(reads.load("a") for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3
        assert await reads.load("a") == 7

    in_virtual_time(ask())


@pytest.mark.parametrize("leaving", [[0], [1], [0, 1, 2]])
def test_a_cancelled_caller_does_not_disturb_others(leaving: Sequence[int]) -> None:
    """Before the read, or during it; also if all callers are cancelled."""

    async def ask(after: float) -> None:
        store = Store(0.01)
        reads = SingleFlight(store.read)
        asking = [asyncio.create_task(reads.load("a")) for _ in range(3)]
        await asyncio.sleep(after)
        for number in leaving:
            asking[number].cancel()
        during = asyncio.create_task(reads.load("a"))
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
        slow = asyncio.create_task(reads.load("slow"))
        await asyncio.sleep(0)
        began = now()
        assert await asyncio.gather(*(reads.load("x" * length) for length in range(1, 4))) == [1, 2, 3]
        assert now() == began
        never.set()
        assert await slow == 4

    in_virtual_time(ask())


@pytest.mark.parametrize("seconds", [0, 0.002, 0.02])
def test_a_thousand_calls_in_a_second_cost_a_hundred_reads(seconds: float) -> None:
    async def ask() -> int:
        store = Store(seconds)
        reads = SingleFlight(store.read)
        longest = 0.0

        async def call(at: float) -> None:
            nonlocal longest
            await until(at)
            await reads.load("a")
            longest = max(longest, now() - at)

        start = now()
        await asyncio.gather(*(call(start + number / 1_000) for number in range(1_000)))
        assert longest <= MAX_DELAY_SECONDS + 2 * seconds + 0.001
        return len(store.started)

    assert UNDELAYED_PER_SECOND < in_virtual_time(ask()) <= 100


def test_a_lone_caller_is_delayed_ten_times_a_second_at_most() -> None:
    async def ask() -> None:
        store = Store(0.001)
        reads = SingleFlight(store.read)
        start = now()
        slow = []
        while now() < start + 3:
            asked = now()
            await reads.load("a")
            if now() - asked > 0.0011:
                slow.append(round(now() - asked, 6))
        assert set(slow) == {LINGER_SECONDS + 0.001}
        assert 3 <= len(slow) <= 3 / BYPASS_SECONDS
        assert len(store.started) > 2_800

    in_virtual_time(ask())


def test_a_late_wake_up_is_not_a_sign_of_low_traffic() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        alone = asyncio.create_task(reads.load("a"))
        await asyncio.sleep(0)
        be_busy(LINGER_SECONDS + 2 * LOOP_LAG_SECONDS)
        await alone
        asked = now()
        await reads.load("a")
        assert now() - asked == pytest.approx(LINGER_SECONDS)

    in_virtual_time(ask())


def test_a_batch_of_the_least_size_keeps_reads_delayed() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        for _ in range(5):
            asked = now()
            await asyncio.gather(*(reads.load("a") for _ in range(MIN_BATCH)))
            assert now() - asked == pytest.approx(LINGER_SECONDS)

    in_virtual_time(ask())


def test_a_full_batch_starts_at_once() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        await asyncio.gather(*(reads.load("a") for _ in range(MAX_BATCH)))
        assert now() == asked
        await asyncio.gather(*(reads.load("a") for _ in range(MAX_BATCH - 1)))
        assert now() == pytest.approx(asked + LINGER_SECONDS)
        assert len(store.started) == UNDELAYED_PER_SECOND + 2

    in_virtual_time(ask())


def test_a_read_is_delayed_while_others_join_but_not_longer() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        asking = []
        for _ in range(10):
            asking.append(asyncio.create_task(reads.load("a")))
            await asyncio.sleep(0.003)
        await asyncio.gather(*asking)
        assert store.started[UNDELAYED_PER_SECOND] - asked == pytest.approx(MAX_DELAY_SECONDS)
        assert len(store.started) == UNDELAYED_PER_SECOND + 2

    in_virtual_time(ask())


def test_a_delayed_read_starts_when_no_caller_joins() -> None:
    async def ask() -> None:
        store = Store(0)
        reads = SingleFlight(store.read)
        await busy(reads, store)
        asked = now()
        await asyncio.gather(reads.load("a"), *(later(reads, 0.003) for _ in range(MIN_BATCH)))
        assert store.started[UNDELAYED_PER_SECOND:] == [pytest.approx(asked + 0.003 + LINGER_SECONDS)]

    async def later(reads: SingleFlight[str, int], seconds: float) -> None:
        await asyncio.sleep(seconds)
        await reads.load("a")

    in_virtual_time(ask())


def test_keys_without_waiters_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "_PRUNE_AT", 10)

    async def ask() -> None:
        release = asyncio.Event()

        async def read(key: str) -> int:
            if key == "in use":
                await release.wait()
            return 1

        reads = SingleFlight(read)
        in_use = [asyncio.create_task(reads.load("in use"))]
        for number in range(100):
            await reads.load(f"{number}")
            assert len(reads._flights) <= 11
        in_use.append(asyncio.create_task(reads.load("in use")))
        await asyncio.sleep(0)
        release.set()
        async with asyncio.timeout(1):
            assert await asyncio.gather(*in_use) == [1, 1]

    in_virtual_time(ask())
