"""Whether the service can serve."""

import asyncio
from typing import Final

from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.heads import Heads
from modelkeep.storage.objects import ObjectStore

PATIENCE_SECONDS: Final = 2.0


class HealthService:
    """Asks what every answer depends on: the table each time, the object store until it has been seen once.

    A wrong bucket shows before the first request. Later failures of the store stop uploads alone: URLs are signed
    without asking it, so containers still find what production is, and taking the service away would help nobody.
    """

    def __init__(self, heads: Heads, store: ObjectStore) -> None:
        self._heads = heads
        self._store = store
        self._store_was_seen = False

    async def check(self) -> None:
        """Return if the service can serve. Raises `UnavailableError`, also if no answer comes within 2 seconds."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._look()
        except TimeoutError:
            raise UnavailableError("Storage does not answer. Check that the service can reach it.") from None

    async def _look(self) -> None:
        await self._heads.find("")
        if not self._store_was_seen:
            await self._store.reach()
            self._store_was_seen = True
