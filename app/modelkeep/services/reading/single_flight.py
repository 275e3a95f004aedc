"""Single-flight (request coalescing): one read of storage for all callers that ask for the same key at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

UNDELAYED_PER_SECOND: Final = 10
"""Reads of one key that start without delay within a second."""

MAX_BATCH: Final = 16
"""Batch size at which a delayed read starts at once."""

LINGER_SECONDS: Final = 0.005
"""How long a delayed read waits for another caller to join, like Kafka's `linger.ms`."""

MAX_DELAY_SECONDS: Final = 0.02
"""How long a read is delayed at most, however many callers join."""

MIN_BATCH: Final = 4
"""Batch size below which a delay was not worth it: the next reads of the key start at once, for a while."""

BYPASS_SECONDS: Final = 0.1
"""How long that while is."""

LOOP_LAG_SECONDS: Final = 0.002
"""Event-loop lag above which a small batch is not taken as a sign of low traffic: callers may not have run yet."""

_PRUNE_AT: Final = 4_096
"""Number of keys at which those that nobody waits for are dropped."""


class SingleFlight(Generic[K, V]):
    """Coalesces concurrent reads of a key; each caller gets a read that started after its own call (read-your-writes).

    Callers that arrive during a read share the next one. Under load a key costs some 70 reads a second rather than one
    per caller: after the first 10 of a second, a read is delayed until 16 callers wait for it, or none has joined for
    5 ms, or 20 ms have passed. If hardly any caller came in that time, reads start at once for a tenth of a second.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._flights: dict[K, _Flights[K, V]] = {}

    async def load(self, key: K) -> V:
        """What `read` returns for this key. Raises what it raises."""
        flights = self._flights.get(key)
        if flights is None:
            self._prune()
            flights = self._flights[key] = _Flights(self._read, key)
        return await flights.wait()

    def _prune(self) -> None:
        if len(self._flights) >= _PRUNE_AT:
            self._flights = {key: flights for key, flights in self._flights.items() if flights.is_in_use}


class _Flights(Generic[K, V]):
    """The reads of one key: the callers that wait for the next, and how many started this second."""

    def __init__(self, read: Callable[[K], Awaitable[V]], key: K) -> None:
        self._read = read
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[V]] = []
        self._in_flight: asyncio.Task[None] | None = None
        self._scheduled: asyncio.Handle | None = None
        self._delayed_since = 0.0
        self._joined_at = 0.0
        self._second = 0
        self._started = 0
        self._bypass_until = 0.0

    @property
    def is_in_use(self) -> bool:
        """Whether a caller waits or a read is in flight."""
        return bool(self._waiters or self._in_flight)

    async def wait(self) -> V:
        """Wait for the next read."""
        future: asyncio.Future[V] = self._loop.create_future()
        self._waiters.append(future)
        if self._in_flight is None:
            self._schedule()
        return await future

    def _schedule(self) -> None:
        """Start a read after this turn of the event loop, so that its callers share it; or later, with more of them."""
        now = self._joined_at = self._loop.time()
        if self._scheduled is None:
            self._roll_second(now)
            if self._started < UNDELAYED_PER_SECOND or now < self._bypass_until:
                self._scheduled = self._loop.call_soon(self._start)
            else:
                self._delayed_since = now
                self._scheduled = self._loop.call_later(LINGER_SECONDS, self._linger)
        if self._delayed_since and len(self._waiters) >= MAX_BATCH:
            self._start_soon()

    def _roll_second(self, now: float) -> None:
        if int(now) != self._second:
            self._second, self._started = int(now), 0

    def _start_soon(self) -> None:
        self._delayed_since = 0.0
        if self._scheduled:
            self._scheduled.cancel()
        self._scheduled = self._loop.call_soon(self._start)

    def _linger(self) -> None:
        """Start the read, unless a caller has joined lately."""
        now = self._loop.time()
        due = min(self._joined_at + LINGER_SECONDS, self._delayed_since + MAX_DELAY_SECONDS)
        if now < due:
            self._scheduled = self._loop.call_at(due, self._linger)
            return
        if len(self._waiters) < MIN_BATCH and now - due < LOOP_LAG_SECONDS:
            self._bypass_until = now + BYPASS_SECONDS
        self._start()

    def _start(self) -> None:
        self._scheduled, self._delayed_since = None, 0.0
        self._started += 1
        waiters, self._waiters = self._waiters, []
        self._in_flight = self._loop.create_task(self._run(waiters))

    async def _run(self, waiters: list[asyncio.Future[V]]) -> None:
        try:
            value = await self._read(self._key)
        except asyncio.CancelledError:
            for future in _pending(waiters):
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 -- it is raised where it is waited for
            for future in _pending(waiters):
                future.set_exception(error)
        else:
            for future in _pending(waiters):
                future.set_result(value)
        finally:
            self._in_flight = None
            if self._waiters:
                self._schedule()


def _pending(futures: Iterable[asyncio.Future[V]]) -> Iterator[asyncio.Future[V]]:
    """Those whose caller has not been cancelled."""
    return (future for future in futures if not future.done())
