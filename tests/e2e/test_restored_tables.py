"""A table that was restored to an earlier moment, beside the objects of today: no object stands for other bytes."""

from collections.abc import AsyncIterator

import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.upkeep import Storage

pytestmark = pytest.mark.every_backend

LOST, NEW = b"lost by the restore", b"registered since   "
"""Of one size, so that neither the size nor the number of parts tells them apart."""


@pytest.fixture
async def restored(api: Api, storage: Storage, settings: Settings) -> AsyncIterator[Api]:
    """A service over a table that knows of version 1 alone; the objects of versions 2 to 6 of `m` are still there."""
    await api.register("m", {"model.pt": b"one"})
    yesterday = await storage.items()
    for number in range(2, 6):
        assert await api.register("m", {"model.pt": LOST}, multipart=number % 2 == 0) == number
    await api.register("m", {"weights/model.pt": LOST, "config.json": b"{}"})
    await api.register("younger", {"model.pt": LOST}, multipart=True)
    await storage.restore(yesterday)
    async with serving(settings) as restored:
        yield restored


@pytest.mark.parametrize("multipart", [True, False])
async def test_a_number_whose_keys_are_taken_is_skipped(restored: Api, multipart: bool) -> None:
    assert await restored.register("m", {"model.pt": NEW}, multipart=multipart) == 7
    assert await restored.fetch("m", "7") == {"model.pt": NEW}
    assert await restored.register("m", {"model.pt": NEW}) == 8
    assert await restored.register("younger", {"model.pt": NEW}) == 2
    assert [event["version"] for event in await restored.events("m")] == [1, 1, 7, 7, 8, 8]
