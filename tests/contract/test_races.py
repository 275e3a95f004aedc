"""What holds when many callers of several processes do everything at once, on every driver."""

import asyncio
import random
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest

from app.domain.errors import (
    AliasNotFoundError,
    ContentionError,
    NoEarlierProductionError,
    ProductionChangedError,
    RegistryError,
    VersionInUseError,
    VersionNotFoundError,
)
from app.domain.values import Stage
from app.storage.local.files import FileStore
from app.storage.table import Table
from tests.support.registries import Registry, caller

MODEL = "fraud-detector"
PROMOTERS = 16
ROUNDS = 20
REGISTRATIONS = 64


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path / "data", public_url="http://registry")


@pytest.fixture
def registries(table: Table, store: FileStore) -> list[Registry]:
    """Two processes."""
    return [Registry(table, store), Registry(table, store)]


@pytest.fixture
def registry(registries: list[Registry]) -> Registry:
    return registries[0]


async def outcomes(calls: Sequence[Awaitable[object]], *promised: type[RegistryError]) -> list[object]:
    """What each call came to; an error that was not promised is raised."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, promised):
            raise answer
    return answers


async def until_not_contended(registry: Registry) -> int:
    while True:
        try:
            return await registry.register(MODEL)
        except ContentionError:
            continue


class Reader:
    """Asks all the time who is production, and counts the answers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._over = False
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> int:
        answers = 0
        while not self._over:
            assert (await self._registry.production(MODEL)).stage is Stage.PRODUCTION
            answers += 1
            await asyncio.sleep(0.02)
        return answers

    async def stop(self) -> int:
        self._over = True
        return await self._task


async def production_of(registry: Registry) -> list[int]:
    return [number for number, stage in (await registry.stages(MODEL)).items() if stage is Stage.PRODUCTION]


async def test_there_is_one_production_version_whoever_promotes(registries: list[Registry]) -> None:
    registry = registries[0]
    numbers = [await registry.register(MODEL) for _ in range(4)]
    await registry.promote(MODEL, 1)
    readers = [Reader(registry) for registry in registries]
    contended = 0
    for turn in range(ROUNDS):
        calls = [registries[n % 2].promote(MODEL, numbers[(n + turn) % 4]) for n in range(PROMOTERS)]
        answers = await outcomes(calls, ContentionError)
        contended += sum(isinstance(answer, ContentionError) for answer in answers)
        assert await production_of(registry) == [(await registry.production(MODEL)).number]
    assert min([await reader.stop() for reader in readers]) >= ROUNDS
    assert await registry.faults() == []
    assert contended <= ROUNDS * PROMOTERS // 100


async def test_promoters_of_one_process_never_hear_of_contention(registry: Registry) -> None:
    numbers = [await registry.register(MODEL) for _ in range(4)]
    answers = await outcomes([registry.promote(MODEL, numbers[n % 4]) for n in range(40)])
    assert len(answers) == 40
    assert await registry.faults() == []


async def test_of_many_promoters_behind_one_fence_one_passes(registries: list[Registry]) -> None:
    registry = registries[0]
    numbers = [await registry.register(MODEL) for _ in range(6)]
    await registry.promote(MODEL, 6)
    holder = 6
    for _ in range(5):
        rivals = [number for number in numbers if number != holder]
        calls = [registries[n % 2].promote(MODEL, n, expected=holder) for n in rivals]
        answers = await outcomes(calls, ProductionChangedError)
        (winner,) = [n for n, answer in zip(rivals, answers, strict=True) if not isinstance(answer, RegistryError)]
        assert await production_of(registry) == [winner]
        holder = winner
    assert await registry.faults() == []


async def test_every_registration_gets_a_number_of_its_own(registries: list[Registry]) -> None:
    calls = [until_not_contended(registries[n % 2]) for n in range(REGISTRATIONS)]
    numbers = [number for number in await outcomes(calls) if isinstance(number, int)]
    assert len(numbers) == len(set(numbers)) == REGISTRATIONS
    assert sorted(await registries[0].stages(MODEL)) == sorted(numbers)
    assert await registries[0].faults() == []
    begun = [event.version for event in await registries[0].history(MODEL) if event.type == "upload_begun"]
    assert begun == list(range(1, len(begun) + 1))


async def test_whatever_races_leaves_no_pointer_to_nothing(registries: list[Registry]) -> None:
    registry = registries[0]
    dice = random.Random(7)
    numbers = [await registry.register(MODEL) for _ in range(5)]
    for _ in range(12):
        calls = [one_of(registries[n % 2], dice.choice(numbers), dice.randrange(7)) for n in range(12)]
        await asyncio.gather(*calls)
        assert await registry.faults() == []


async def one_of(registry: Registry, number: int, dice: int) -> None:
    """Do something to a version; being refused for what it is now is fine."""
    services, anybody = registry.services, caller(key=None)
    alias = "champion" if dice % 2 else "canary"
    try:
        match dice:
            case 0 | 1:
                await services["versions"].delete(MODEL, number, anybody)
            case 2:
                await services["versions"].restore(MODEL, number, anybody)
            case 3:
                await services["aliases"].point(MODEL, alias, number, anybody, comment=None)
            case 4:
                await services["aliases"].remove(MODEL, alias, anybody)
            case 5:
                await services["stages"].roll_back(MODEL, caller(key=str(anybody.request_id)))
            case _:
                await registry.promote(MODEL, number)
    except VersionNotFoundError as absent:
        if absent.ref != str(number):
            raise
    except (VersionInUseError, AliasNotFoundError, NoEarlierProductionError, ContentionError):
        pass
