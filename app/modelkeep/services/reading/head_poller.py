"""Waiting for a model to change: one who looks, for all who wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from modelkeep.domain.errors import TemporaryError
from modelkeep.domain.models import Head

POLL_SECONDS: Final = 1.0
"""Between two looks at a model that is waited for."""


class HeadPoller:
    """Looks at the head of each model that somebody waits for, once a second, however many wait.

    Nobody waits any longer once `is_ending` says that the process is about to end.
    """

    def __init__(self, find_head: Callable[[str], Awaitable[Head | None]], is_ending: Callable[[], bool]) -> None:
        self._find_head = find_head
        self._is_ending = is_ending
        self._watched: dict[str, _Subscription] = {}

    async def moved(self, model: str, generation: int, *, until: float) -> bool:
        """Return true once the head is of a later generation, or false at `until`, a time of the event loop."""
        if asyncio.get_running_loop().time() >= until:
            return False
        watched = self._watched.get(model)
        if watched is None:
            watched = self._watched[model] = _Subscription(generation)
            watched.looking = asyncio.create_task(self._look(model, watched))
        watched.waiting += 1
        try:
            async with asyncio.timeout_at(until):
                while watched.generation <= generation and not watched.ended:
                    await watched.news.wait()
        except TimeoutError:
            return False
        finally:
            watched.waiting -= 1
            if not watched.waiting:
                self._stop(model, watched)
        return not watched.ended

    async def _look(self, model: str, watched: "_Subscription") -> None:
        while not self._is_ending():
            await asyncio.sleep(POLL_SECONDS)
            try:
                head = await self._find_head(model)
            except TemporaryError:
                continue
            if head:
                watched.tell(head.generation)
        watched.ended = True
        watched.news.set()

    def _stop(self, model: str, watched: "_Subscription") -> None:
        if watched.looking:
            watched.looking.cancel()
        if self._watched.get(model) is watched:
            del self._watched[model]


class _Subscription:
    """A model that is waited for, and the generation that was seen last."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.news = asyncio.Event()
        self.waiting = 0
        self.ended = False
        self.looking: asyncio.Task[None] | None = None

    def tell(self, generation: int) -> None:
        """Wake those who wait for a later generation."""
        if generation > self.generation:
            self.generation = generation
            news, self.news = self.news, asyncio.Event()
            news.set()
