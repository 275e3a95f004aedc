"""A model, a process that reads it, and another one that changes it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Table
from tests.support.read_path import MODEL, ReadPath
from tests.support.registries import Registry, caller


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path / "data", public_url="http://registry")


@pytest.fixture
async def other(table: Table, store: FileStore) -> AsyncIterator[Registry]:
    """Another process, which changes the model: 1 is production and champion, 2 is staging."""
    registry = Registry(table, store)
    for _ in range(2):
        await registry.register(MODEL)
    await registry.promote(MODEL, 1)
    await registry.services.aliases.point(MODEL, "champion", 1, caller(), comment=None)
    yield registry
    assert await registry.faults() == []


@pytest.fixture
def process(table: Table, store: FileStore, other: Registry) -> ReadPath:
    return ReadPath(table, store)
