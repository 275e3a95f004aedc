"""A clock that jumps to whatever is due next: hours of waiting in no time, and no luck in it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: what would be waited has passed."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready:
            self.now += timeout or 0
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def pass_by(self, seconds: float) -> None:
        self._jumping.now += seconds


def be_busy(seconds: float) -> None:
    """Let time pass in which the event loop of this call does nothing else."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _VirtualLoop)
    loop.pass_by(seconds)


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run what has no thread and no connection, by a clock of its own that begins at a whole second.

    Raises `AssertionError` if it leaves a task behind.
    """

    async def alone() -> T:
        answer = await main
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return answer

    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(alone())
