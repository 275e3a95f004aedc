"""What callers are told through a network that loses a third of everything is what happened."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.domain.errors import ContentionError, OutcomeUnknownError, UnavailableError
from app.domain.values import Stage
from app.repositories.version_items import version_to_item
from app.storage.local.files import FileStore
from app.storage.table import Absent, Put, Table
from tests.support.builders import operation, version
from tests.support.faults import LOSSES, Fault, FaultyTable, at_random, lose_patience
from tests.support.registries import Registry

MODEL = "fraud-detector"
CLIENTS = 4
LOSS = 0.3


@dataclass
class Told:
    """What the callers were told of each version's promotion."""

    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)


@pytest.fixture
def promotions(request: pytest.FixtureRequest, *, thorough: bool) -> int:
    """Five hundred where they cost little and there is time."""
    return 500 if thorough and request.node.callspec.params["table"] == "local" else 100


async def fill(table: Table, count: int) -> None:
    """Give the model this many versions in staging, as the public recipe would write them."""
    for start in range(1, count + 1, 50):
        numbers = range(start, min(start + 50, count + 1))
        writes = [Put(version_to_item(version(number, model=MODEL)), Absent()) for number in numbers]
        await table.transact(writes, token=operation().id)


async def promote(registry: Registry, numbers: range, told: Told) -> None:
    """Promote each version once; every other with a key, and then again until it is told done."""
    for number in numbers:
        key = f"promote {number}" if number // CLIENTS % 2 else None
        while True:
            try:
                await registry.promote(MODEL, number, key=key)
            except OutcomeUnknownError:
                told.unknown.add(number)
            except (ContentionError, UnavailableError):
                told.failed.add(number)
            else:
                told.done.add(number)
            if key is None or number in told.done:
                break
        if key and number in told.unknown:
            told.settled.add(number)


async def test_what_was_told_is_what_happened(
    table: Table, tmp_path: Path, promotions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(table, promotions)
    store = await FileStore.open(tmp_path / "data", public_url="http://registry")
    registry = Registry(table, store)
    await registry.promote(MODEL, 1)
    lose_patience(monkeypatch)
    told = Told()
    tables = [
        FaultyTable(
            table,
            writes=at_random(seed, LOSS, [*LOSSES, Fault.HANGING]),
            reads=at_random(seed + CLIENTS, LOSS / 3, [Fault.UNAVAILABLE, Fault.SLOW, Fault.HANGING]),
        )
        for seed in range(CLIENTS)
    ]
    clients = [Registry(faulty, store) for faulty in tables]
    calls = [
        promote(client, range(first, promotions + 1, CLIENTS), told) for first, client in enumerate(clients, start=2)
    ]
    await asyncio.gather(*calls)
    for faulty in tables:
        await faulty.__aexit__()

    history = await registry.history(MODEL)
    assert [event.generation for event in history] == list(range(1, len(history) + 1))
    happened = Counter(event.version for event in history if event.target == Stage.PRODUCTION)
    assert max(happened.values()) == 1
    only_failed = told.failed - told.done - told.unknown
    assert told.done <= set(happened)
    assert only_failed.isdisjoint(happened)
    assert set(happened) - {1} <= told.done | told.unknown
    assert told.settled
    assert told.settled <= told.done

    production = [event.version for event in history if event.target == Stage.PRODUCTION][-1]
    stages = await registry.stages(MODEL)
    assert {number for number, stage in stages.items() if stage is Stage.PRODUCTION} == {production}
    assert {number for number, stage in stages.items() if stage is Stage.ARCHIVED} == set(happened) - {production}
