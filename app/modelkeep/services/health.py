"""Checks whether the process can serve (readiness)."""

import asyncio
import time
from typing import Final

from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.heads import Heads
from modelkeep.services.ownership import Ownership
from modelkeep.storage.objects import ObjectStore

CHECK_TIMEOUT_SECONDS: Final = 2.0

OWNER_CHECK_SECONDS: Final = 60.0
"""How long the answer to who owns the bucket is good: another table may be given it while the process runs."""


class HealthService:
    """Reads the table at each check, and the object store until it was reached once.

    So a wrong bucket shows before the first request. A later failure of the store stops uploads only: URLs are signed
    without a request to it, so downloads still work, and taking the process out of service would not help.
    """

    def __init__(self, heads: Heads, store: ObjectStore, ownership: Ownership) -> None:
        self._heads = heads
        self._store = store
        self._ownership = ownership
        self._store_was_reached = False
        self._owner_check_due = 0.0

    async def check(self) -> None:
        """Return if the process can serve.

        Raises `UnavailableError`, also if storage takes more than 2 seconds, and `BucketOwnedError`.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self._read()
        except TimeoutError:
            raise UnavailableError("Storage does not answer. Check that the service can reach it.") from None
        if time.monotonic() >= self._owner_check_due:
            await self._ownership.refuse_foreign()
            self._owner_check_due = time.monotonic() + OWNER_CHECK_SECONDS

    async def _read(self) -> None:
        await self._heads.find("")
        if not self._store_was_reached:
            await self._store.reach()
            self._store_was_reached = True
