"""What holds when many callers of several processes do everything at once, on every driver."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from modelkeep.domain.changes import StageRequest
from modelkeep.domain.errors import (
    AliasNotFoundError,
    ContentionError,
    ModelNotFoundError,
    NoEarlierProductionError,
    ProductionChangedError,
    RegistryError,
    VersionInUseError,
    VersionNotDeletedError,
    VersionNotFoundError,
)
from modelkeep.domain.values import Stage, parse_ref
from modelkeep.repositories import versions as repository
from modelkeep.repositories.version_items import version_to_item
from modelkeep.services.reading.resolver import MAX_ATTEMPTS
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Present, Put, Table
from tests.support.builders import operation
from tests.support.faults.storage import Fault, FaultyTable
from tests.support.registries import Registry, caller

pytestmark = pytest.mark.one_backend

MODEL = "fraud-detector"
PROMOTERS = 16
ROUNDS, QUICK_ROUNDS = 20, 3
REGISTRATIONS, QUICK_REGISTRATIONS = 64, 16


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
            with suppress(ContentionError):
                assert (await self._registry.production(MODEL)).stage is Stage.PRODUCTION
                answers += 1
            await asyncio.sleep(0.02)
        return answers

    async def stop(self) -> int:
        self._over = True
        return await self._task


async def production_of(registry: Registry) -> list[int]:
    return [number for number, stage in (await registry.stages(MODEL)).items() if stage is Stage.PRODUCTION]


@pytest.mark.every_backend
async def test_there_is_one_production_version_whoever_promotes(registries: list[Registry], *, thorough: bool) -> None:
    rounds = ROUNDS if thorough else QUICK_ROUNDS
    registry = registries[0]
    numbers = [await registry.register(MODEL) for _ in range(4)]
    await registry.promote(MODEL, 1)
    readers = [Reader(registry) for registry in registries]
    contended = 0
    for turn in range(rounds):
        calls = [registries[n % 2].promote(MODEL, numbers[(n + turn) % 4]) for n in range(PROMOTERS)]
        answers = await outcomes(calls, ContentionError)
        contended += sum(isinstance(answer, ContentionError) for answer in answers)
        assert await production_of(registry) == [(await registry.production(MODEL)).number]
    assert min([await reader.stop() for reader in readers]) >= rounds
    assert await registry.faults() == []
    assert contended <= ROUNDS * PROMOTERS // 100


@pytest.mark.every_backend
async def test_promoters_of_one_process_never_hear_of_contention(registry: Registry, *, thorough: bool) -> None:
    promoters = 40 if thorough else PROMOTERS
    numbers = [await registry.register(MODEL) for _ in range(4)]
    answers = await outcomes([registry.promote(MODEL, numbers[n % 4]) for n in range(promoters)])
    assert len(answers) == promoters
    assert await registry.faults() == []


@pytest.mark.every_backend
async def test_of_many_promoters_behind_one_fence_one_passes(registries: list[Registry], *, thorough: bool) -> None:
    registry = registries[0]
    numbers = [await registry.register(MODEL) for _ in range(6)]
    await registry.promote(MODEL, 6)
    holder = 6
    for _ in range(5 if thorough else 3):
        rivals = [number for number in numbers if number != holder]
        calls = [registries[n % 2].promote(MODEL, n, expected=holder) for n in rivals]
        answers = await outcomes(calls, ProductionChangedError)
        (winner,) = [n for n, answer in zip(rivals, answers, strict=True) if not isinstance(answer, RegistryError)]
        assert await production_of(registry) == [winner]
        holder = winner
    assert await registry.faults() == []


@pytest.mark.every_backend
async def test_every_registration_gets_a_number_of_its_own(registries: list[Registry], *, thorough: bool) -> None:
    registrations = REGISTRATIONS if thorough else QUICK_REGISTRATIONS
    calls = [until_not_contended(registries[n % 2]) for n in range(registrations)]
    numbers = [number for number in await outcomes(calls) if isinstance(number, int)]
    assert len(numbers) == len(set(numbers)) == registrations
    assert sorted(await registries[0].stages(MODEL)) == sorted(numbers)
    assert await registries[0].faults() == []
    begun = [event.version for event in await registries[0].history(MODEL) if event.type == "upload_begun"]
    assert begun == list(range(1, len(begun) + 1))


@pytest.mark.every_backend
async def test_a_registration_that_is_decided_again_spends_one_number(table: Table, store: FileStore) -> None:
    faulty = FaultyTable(table, writes=[Fault.NONE, Fault.CONTENDED])
    registry = Registry(faulty, store)
    assert [await registry.begin(MODEL) for _ in range(4)] == [1, 2, 3, 4]
    assert len(faulty.sent) == 5


@pytest.mark.every_backend
async def test_whatever_races_leaves_no_pointer_to_nothing(registries: list[Registry], *, thorough: bool) -> None:
    registry = registries[0]
    dice = random.Random(7)
    numbers = [await registry.register(MODEL) for _ in range(5)]
    for _ in range(12 if thorough else 6):
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
                await services.versions.delete(MODEL, number, anybody)
            case 2:
                await services.versions.restore(MODEL, number, anybody)
            case 3:
                await services.aliases.point(MODEL, alias, number, anybody, comment=None)
            case 4:
                await services.aliases.remove(MODEL, alias, anybody)
            case 5:
                await services.stages.roll_back(MODEL, caller(key=str(anybody.request_id)))
            case _:
                await registry.promote(MODEL, number)
    except VersionNotFoundError as absent:
        if absent.ref != str(number):
            raise
    except (VersionInUseError, VersionNotDeletedError, AliasNotFoundError, NoEarlierProductionError, ContentionError):
        pass


# -- refs that come to something else while they are looked up


Step = Callable[[], Awaitable[object]]


class Shifting(FaultyTable):
    """Counts the reads, and takes one step before each but the first, while there are steps."""

    def __init__(self, table: Table, steps: Iterable[Step]) -> None:
        super().__init__(table)
        self.reads = 0
        self._steps = iter(steps)

    async def _read(self) -> None:
        self.reads += 1
        if self.reads > 1 and (step := next(self._steps, None)):
            await step()
        await super()._read()


class Shelf:
    """A model of three versions: 1 is archived, 2 in staging, 3 is production, `champion` and the latest."""

    def __init__(self, table: Table, store: FileStore) -> None:
        self._table = table
        self._store = store
        self.registry = Registry(table, store)

    async def fill(self) -> None:
        for _ in range(3):
            await self.registry.register(MODEL)
        await self.registry.promote(MODEL, 1)
        await self._point_at(3)

    async def take_3_away(self) -> None:
        await self._point_at(1)
        await self.registry.services.versions.delete(MODEL, 3, caller())

    async def bring_3_back(self) -> None:
        await self.registry.services.versions.restore(MODEL, 3, caller())
        await self._point_at(3)

    async def move(self, number: int, stage: Stage) -> None:
        await self.registry.services.stages.move(MODEL, number, StageRequest(stage=stage), caller())

    async def commit_of(self, number: int) -> str:
        return (await self.registry.services.versions.require(MODEL, number)).commit

    async def overwrite(self, number: int, stage: Stage) -> None:
        """Write a stage as a program of the public recipe would: the head does not learn of it."""
        version = await self.registry.services.versions.require(MODEL, number)
        await self._table.transact(
            [Put(version_to_item(replace(version, stage=stage)), Present())], request_token=operation().id
        )

    async def look_up(self, ref: str, steps: Iterable[Step] = ()) -> tuple[object, int]:
        """What a ref comes to while these steps are taken between the reads, and how many reads it took."""
        asked = parse_ref(await self.commit_of(3) if ref == "commit" else ref)
        shifting = Shifting(self._table, steps)
        try:
            _, version = await Registry(shifting, self._store).services.versions._resolver.resolve(MODEL, asked)
        except RegistryError as error:
            return type(error), shifting.reads
        return (version.number, version.stage), shifting.reads

    async def _point_at(self, number: int) -> None:
        await self.registry.promote(MODEL, number)
        await self.registry.services.aliases.point(MODEL, "champion", number, caller(), comment=None)


@pytest.fixture
async def shelf(table: Table, store: FileStore) -> Shelf:
    shelf = Shelf(table, store)
    await shelf.fill()
    return shelf


async def nothing() -> None:
    pass


async def test_what_a_ref_costs_while_nothing_changes(shelf: Shelf) -> None:
    for ref in ("production", "champion", "latest", "3", "commit"):
        assert await shelf.look_up(ref) == ((3, Stage.PRODUCTION), 2), ref
    assert await shelf.look_up("staging") == ((2, Stage.STAGING), 3)
    assert await shelf.look_up("4") == (VersionNotFoundError, 3)
    assert await shelf.look_up("0" * 39 + "3") == (VersionNotFoundError, 2)


async def test_what_is_unset_takes_one_read(registry: Registry, table: Table, store: FileStore) -> None:
    await registry.begin(MODEL)
    for ref in ("production", "champion", "latest"):
        assert await Shelf(table, store).look_up(ref) == (VersionNotFoundError, 1), ref


@pytest.mark.parametrize("ref", ["production", "champion", "latest", "staging", "3", "commit"])
async def test_a_model_that_changes_between_any_two_reads_is_contention(shelf: Shelf, ref: str) -> None:
    steps = cycle([shelf.take_3_away, shelf.bring_3_back])
    assert await shelf.look_up(ref, steps) == (ContentionError, 1 + 2 * MAX_ATTEMPTS)


async def test_production_that_passes_on_between_any_two_reads_is_contention(shelf: Shelf) -> None:
    steps = cycle([partial(shelf.registry.promote, MODEL, 1), partial(shelf.registry.promote, MODEL, 3)])
    assert await shelf.look_up("production", steps) == (ContentionError, 1 + 2 * MAX_ATTEMPTS)


@pytest.mark.parametrize(
    ("ref", "answer"),
    [
        ("production", (1, Stage.PRODUCTION)),
        ("champion", (1, Stage.PRODUCTION)),
        ("latest", (2, Stage.STAGING)),
        ("staging", (2, Stage.STAGING)),
        ("3", VersionNotFoundError),
        ("commit", VersionNotFoundError),
    ],
)
async def test_a_change_between_head_and_version_is_noticed(shelf: Shelf, ref: str, answer: object) -> None:
    assert (await shelf.look_up(ref, [shelf.take_3_away]))[0] == answer


@pytest.mark.parametrize("ref", ["production", "champion", "latest", "3", "commit"])
async def test_a_version_that_comes_back_meanwhile_is_found(shelf: Shelf, ref: str) -> None:
    steps = [shelf.take_3_away, shelf.bring_3_back]
    assert await shelf.look_up(ref, steps) == ((3, Stage.PRODUCTION), 4)


async def test_a_version_that_becomes_production_meanwhile_is_not_called_archived(shelf: Shelf) -> None:
    promote = partial(shelf.registry.promote, MODEL, 2)
    assert await shelf.look_up("2", [promote]) == ((2, Stage.PRODUCTION), 4)
    back = partial(shelf.registry.promote, MODEL, 3)
    assert await shelf.look_up("production", [back]) == ((3, Stage.PRODUCTION), 4)


async def test_a_model_that_is_deleted_meanwhile_is_not_found(
    registry: Registry, table: Table, store: FileStore
) -> None:
    await registry.register(MODEL)
    delete = partial(registry.services.models.delete, MODEL, caller())
    assert await Shelf(table, store).look_up("latest", [delete]) == (ModelNotFoundError, 3)


async def test_staging_that_moves_behind_the_search_is_found(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, newest first: 3 has been passed when it takes over from 2, which has not been reached."""
    monkeypatch.setattr(repository, "_PAGE_SIZE", 1)

    async def pass_on() -> None:
        await shelf.move(3, Stage.STAGING)
        await shelf.move(2, Stage.ARCHIVED)

    assert (await shelf.look_up("staging", [nothing, pass_on]))[0] == (3, Stage.STAGING)


async def test_another_program_s_word_is_no_contention(shelf: Shelf) -> None:
    await shelf.overwrite(1, Stage.PRODUCTION)
    await shelf.overwrite(3, Stage.ARCHIVED)
    assert await shelf.look_up("production") == ((3, Stage.PRODUCTION), 3)
    assert await shelf.look_up("1") == ((1, Stage.ARCHIVED), 3)
