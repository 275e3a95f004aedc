"""Long polling: one poller per model, shared by all requests that wait for the model to change."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from modelkeep.domain.errors import TemporaryError
from modelkeep.domain.models import Head

POLL_SECONDS: Final = 1.0
"""Between two reads of a head that requests wait for."""


class HeadPoller:
    """Reads the head of each model that requests wait for once a second, however many wait.

    What this process changes itself is published at once. Once `is_draining` returns true (graceful shutdown), all
    waits end within a second.
    """

    def __init__(self, find_head: Callable[[str], Awaitable[Head | None]], is_draining: Callable[[], bool]) -> None:
        self._find_head = find_head
        self._is_draining = is_draining
        self._subscriptions: dict[str, _Subscription] = {}

    def publish(self, head: Head) -> None:
        """Wake the requests that wait for an earlier generation of this head."""
        if subscription := self._subscriptions.get(head.model):
            subscription.publish(head.generation)

    async def wait_for_change(self, model: str, generation: int, *, until: float) -> bool:
        """Return true once the head has a later generation; false at `until` (event loop time), or when draining."""
        if asyncio.get_running_loop().time() >= until:
            return False
        subscription = self._subscriptions.get(model)
        if subscription is None:
            subscription = self._subscriptions[model] = _Subscription(generation)
            subscription.poller = asyncio.create_task(self._poll(model, subscription))
        subscription.waiters += 1
        try:
            async with asyncio.timeout_at(until):
                while subscription.generation <= generation and not subscription.ended:
                    await subscription.changed.wait()
        except TimeoutError:
            return False
        finally:
            subscription.waiters -= 1
            if not subscription.waiters:
                self._stop(model, subscription)
        return not subscription.ended

    async def _poll(self, model: str, subscription: "_Subscription") -> None:
        while not self._is_draining():
            await asyncio.sleep(POLL_SECONDS)
            try:
                head = await self._find_head(model)
            except TemporaryError:
                continue
            if head:
                subscription.publish(head.generation)
        subscription.ended = True
        subscription.changed.set()

    def _stop(self, model: str, subscription: "_Subscription") -> None:
        if subscription.poller:
            subscription.poller.cancel()
        if self._subscriptions.get(model) is subscription:
            del self._subscriptions[model]


class _Subscription:
    """A model that requests wait for, and the latest generation that was read."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.changed = asyncio.Event()
        self.waiters = 0
        self.ended = False
        self.poller: asyncio.Task[None] | None = None

    def publish(self, generation: int) -> None:
        """Wake the waiters if the generation is a later one."""
        if generation > self.generation:
            self.generation = generation
            changed, self.changed = self.changed, asyncio.Event()
            changed.set()
