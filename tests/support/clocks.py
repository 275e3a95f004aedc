"""A clock that leaps over waiting, so that the patience of the real product costs a test no time."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from modelkeep.storage.table import Table

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time leaps to the next timer whenever all wait and nothing real is under way.

    Work in threads is under way, and what happens inside `working`: meanwhile time passes as it does everywhere.
    """

    def __init__(self) -> None:
        self._leapt = 0.0
        self._under_way = 0
        super().__init__(_LeapingSelector(self))

    def time(self) -> float:
        return super().time() + self._leapt

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._under_way += 1
        future.add_done_callback(self._arrive)
        return future

    def awaited(self, table: Table) -> Table:
        """The same table, whose answers are not leapt over, from wherever they come."""
        return cast("Table", _Awaited(self, table))

    async def shutdown_default_executor(self, *args: Any) -> None:
        with self.working():
            await super().shutdown_default_executor(*args)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Wait for an answer from elsewhere."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def may_leap(self) -> bool:
        return self._under_way == 0

    def leap(self, seconds: float) -> None:
        self._leapt += seconds

    def _arrive(self, _: object) -> None:
        self._under_way -= 1


class _LeapingSelector(selectors.SelectSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0 or not self._loop.may_leap():
            return super().select(timeout)
        if ready := super().select(0):
            return ready
        self._loop.leap(timeout)
        return []


class _Awaited:
    def __init__(self, loop: LeapingLoop, table: Table) -> None:
        self._loop = loop
        self._table = table

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        operation = getattr(self._table, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._loop.working():
                return await operation(*args, **kwargs)

        return call


def run_leaping(main: Callable[[LeapingLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on such a loop of its own."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, LeapingLoop)
        return runner.run(main(loop))
