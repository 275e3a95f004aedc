"""A lock per key inside one process, so that work on one key takes turns and work on others does not wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class KeyedLock:
    """Locks by key, first come, first served; a key that no task holds or awaits takes no memory."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def acquire(self, key: str, *, timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109 -- of the lock alone
        """Hold the lock of `key` for the block. Raises `TimeoutError` if it is not free within `timeout` seconds."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with asyncio.timeout(timeout):
                await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)
