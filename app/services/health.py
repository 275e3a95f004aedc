"""Whether the service can serve."""

import asyncio
from typing import Final

from app.domain.errors import UnavailableError
from app.repositories.heads import Heads

PATIENCE_SECONDS: Final = 2.0


class HealthService:
    """Asks what every answer depends on."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    async def check(self) -> None:
        """Read from the table. Raises `UnavailableError` if it does not answer within 2 seconds."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._heads.find("")
        except TimeoutError:
            raise UnavailableError("The table does not answer. Check that the service can reach it.") from None
