"""One reading of storage for all who ask for the same thing at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

UNDELAYED_PER_SECOND: Final = 10
"""Readings of one key that begin without delay in a second."""

MAX_BATCH: Final = 16
"""So many are company enough: a reading that was held back for them begins."""

LINGER_SECONDS: Final = 0.005
"""How long a reading that is held back waits for one more to join."""

MAX_DELAY_SECONDS: Final = 0.02
"""How long it is held back at all."""

MIN_BATCH: Final = 4
"""When fewer came although a reading was held back, those after it are not, for a while."""

BYPASS_SECONDS: Final = 0.1
"""How long that while is."""

LOOP_LAG_SECONDS: Final = 0.002
"""Unless that was seen so much too late: then the event loop was busy, and those who came are not heard yet."""

_PRUNED_AT: Final = 4_096


class SingleFlight(Generic[K, V]):
    """Calls `read` for whoever asks, and answers each with what a call returned that *began after* he asked.

    So an answer is as good as that of a reading of his own: what was acknowledged before he asked is in it. Those who
    ask while a reading is under way share the next one. A key that is asked for by many, one after another, costs some
    70 readings a second and not one for each: beyond the first 10 of a second, a reading is held back until 16 wait for
    it, or none has joined for 5 ms, or 20 ms have passed. Where hardly anybody came in that time, the next ones begin
    at once again, for a tenth of a second.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._lines: dict[K, _Flight[K, V]] = {}

    async def get(self, key: K) -> V:
        """What `read` returns for this key. Raises what it raises."""
        line = self._lines.get(key)
        if line is None:
            self._prune()
            line = self._lines[key] = _Flight(self._read, key)
        return await line.join()

    def _prune(self) -> None:
        if len(self._lines) >= _PRUNED_AT:
            self._lines = {key: line for key, line in self._lines.items() if line.is_in_use}


class _Flight(Generic[K, V]):
    """Those who wait for one key, and how often it was read this second."""

    def __init__(self, read: Callable[[K], Awaitable[V]], key: K) -> None:
        self._read = read
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[V]] = []
        self._reading: asyncio.Task[None] | None = None
        self._start: asyncio.Handle | None = None
        self._held_since = 0.0
        self._joined_at = 0.0
        self._second = 0
        self._begun = 0
        self._alone_until = 0.0

    @property
    def is_in_use(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting or self._reading)

    async def join(self) -> V:
        """Wait for the next reading."""
        future: asyncio.Future[V] = self._loop.create_future()
        self._waiting.append(future)
        if self._reading is None:
            self._arrange()
        return await future

    def _arrange(self) -> None:
        """See to it that a reading begins: with all who ask in this turn of the event loop, or later with more."""
        now = self._joined_at = self._loop.time()
        if self._start is None:
            self._count_second(now)
            if self._begun < UNDELAYED_PER_SECOND or now < self._alone_until:
                self._start = self._loop.call_soon(self._begin)
            else:
                self._held_since = now
                self._start = self._loop.call_later(LINGER_SECONDS, self._look_for_more)
        if self._held_since and len(self._waiting) >= MAX_BATCH:
            self._begin_soon()

    def _count_second(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._begun = int(now), 0

    def _begin_soon(self) -> None:
        self._held_since = 0.0
        if self._start:
            self._start.cancel()
        self._start = self._loop.call_soon(self._begin)

    def _look_for_more(self) -> None:
        """Wait on, if some have joined of late."""
        now = self._loop.time()
        due = min(self._joined_at + LINGER_SECONDS, self._held_since + MAX_DELAY_SECONDS)
        if now < due:
            self._start = self._loop.call_at(due, self._look_for_more)
            return
        if len(self._waiting) < MIN_BATCH and now - due < LOOP_LAG_SECONDS:
            self._alone_until = now + BYPASS_SECONDS
        self._begin()

    def _begin(self) -> None:
        self._start, self._held_since = None, 0.0
        self._begun += 1
        waiting, self._waiting = self._waiting, []
        self._reading = self._loop.create_task(self._serve(waiting))

    async def _serve(self, waiting: list[asyncio.Future[V]]) -> None:
        try:
            value = await self._read(self._key)
        except asyncio.CancelledError:
            for future in _undone(waiting):
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 -- it is raised where it is waited for
            for future in _undone(waiting):
                future.set_exception(error)
        else:
            for future in _undone(waiting):
                future.set_result(value)
        finally:
            self._reading = None
            if self._waiting:
                self._arrange()


def _undone(futures: Iterable[asyncio.Future[V]]) -> Iterator[asyncio.Future[V]]:
    """Those whose waiter has not left meanwhile."""
    return (future for future in futures if not future.done())
