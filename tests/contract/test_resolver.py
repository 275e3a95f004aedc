"""What a ref comes to costs one consistent read, on every driver, and is never older than the question."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import pytest

from modelkeep.domain.changes import StageRequest
from modelkeep.domain.errors import ModelNotFoundError, UnavailableError, VersionNotFoundError
from modelkeep.domain.models import Version
from modelkeep.domain.values import Stage, parse_ref
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.version_items import version_to_item
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading import resolver as resolvers
from modelkeep.services.reading.resolver import Resolved, Resolver
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Item, ItemKey, Present, Put, Table
from tests.support.builders import operation
from tests.support.faults.storage import Fault, FaultyTable
from tests.support.registries import PRODUCTION, Registry, caller

MODEL: Final = "fraud-detector"
CHAMPION: Final = parse_ref("champion")
LATEST: Final = parse_ref("latest")
AWAY: Final = repeat(Fault.UNAVAILABLE)


class Counting(FaultyTable):
    """Counts the reads by the name of the call."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.reads: Counter[str] = Counter()

    async def get(self, key: ItemKey) -> Item | None:
        self.reads["get"] += 1
        return await super().get(key)

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        self.reads["get_many"] += 1
        return await super().get_many(keys)

    async def _read(self) -> None:
        self.reads["all"] += 1
        await super()._read()

    def taken(self) -> dict[str, int]:
        """The reads since this was asked last."""
        reads, self.reads = self.reads, Counter()
        return dict(reads)


ONE_GET: Final = {"get": 1, "all": 1}
ONE_OF_BOTH: Final = {"get_many": 1, "all": 1}


class Process:
    """A resolver of its own, over a table that can be away."""

    def __init__(self, table: Table, *, stale_for: float = 900, is_ending: bool = False) -> None:
        self.table = Counting(table)
        self.stale = 0
        heads, versions = Heads(self.table), Versions(self.table)
        self.resolver = Resolver(
            Ledger(self.table), heads, versions, stale_for=stale_for, on_stale=self._note, is_ending=lambda: is_ending
        )

    def _note(self) -> None:
        self.stale += 1

    async def production(self) -> int:
        return (await self.resolver.locate(MODEL, PRODUCTION)).version.number

    def forget_versions(self) -> None:
        """What happens when others have used up the memory."""
        self.resolver._kept.clear()


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
def process(table: Table, other: Registry) -> Process:
    return Process(table)


async def unverified(table: Table, number: int) -> Version:
    """Make it such as the public recipe wrote it: nobody has read its bytes."""
    version = await Versions(table).find(MODEL, number)
    assert version
    artifacts = tuple(replace(artifact, size=None, sha256=None) for artifact in version.artifacts)
    adopted = replace(version, artifacts=artifacts)
    await table.transact([Put(version_to_item(adopted), Present())], request_token=operation().id)
    return adopted


async def test_production_costs_one_read_once_its_version_is_known(process: Process) -> None:
    assert await process.production() == 1
    assert process.table.taken()["all"] == 2
    for _ in range(3):
        assert await process.production() == 1
        assert process.table.taken() == ONE_GET


async def test_all_who_ask_at_once_cost_one_read(process: Process) -> None:
    await process.production()
    process.table.taken()
    assert await asyncio.gather(*(process.production() for _ in range(100))) == [1] * 100
    assert process.table.taken() == ONE_GET


async def test_head_and_version_come_together_when_the_version_was_forgotten(process: Process) -> None:
    await process.production()
    process.forget_versions()
    process.table.taken()
    assert await process.production() == 1
    assert process.table.taken() == ONE_OF_BOTH
    assert await process.production() == 1
    assert process.table.taken() == ONE_GET


async def test_a_promotion_elsewhere_is_seen_by_the_very_next_question(process: Process, other: Registry) -> None:
    for number in (2, 1) * 3:
        await process.production()
        await other.promote(MODEL, number)
        found = await process.resolver.locate(MODEL, PRODUCTION)
        assert (found.version.number, found.version.stage) == (number, Stage.PRODUCTION)
        assert (await process.resolver.locate(MODEL, CHAMPION)).version.number == 1
    process.table.taken()
    await other.promote(MODEL, 2)
    assert await process.production() == 2
    assert process.table.taken() == ONE_GET


async def test_a_promotion_elsewhere_is_seen_when_the_version_was_forgotten(process: Process, other: Registry) -> None:
    """The version that is read beside the head is then the wrong one."""
    await process.production()
    await other.promote(MODEL, 2)
    process.forget_versions()
    process.table.taken()
    found = await process.resolver.locate(MODEL, PRODUCTION)
    assert (found.version.number, found.version.stage) == (2, Stage.PRODUCTION)
    assert process.table.taken() == {"get_many": 1, "get": 1, "all": 2}


async def test_what_a_kept_version_says_of_itself_is_by_the_head(process: Process, other: Registry) -> None:
    await process.production()
    await other.services.aliases.point(MODEL, "best", 1, caller(), comment=None)
    found = await process.resolver.locate(MODEL, PRODUCTION)
    assert (found.version.aliases, found.generation) == (("best", "champion"), 7)
    assert (await process.resolver.resolve(MODEL, PRODUCTION))[1] == found.version


async def test_an_adopted_version_is_read_with_its_head_until_it_is_verified(process: Process, table: Table) -> None:
    verified = await Versions(table).find(MODEL, 1)
    await unverified(table, 1)
    assert not (await process.resolver.locate(MODEL, PRODUCTION)).version.is_verified
    process.table.taken()
    for _ in range(2):
        assert not (await process.resolver.locate(MODEL, PRODUCTION)).version.is_verified
        assert process.table.taken() == ONE_OF_BOTH
    assert verified
    await table.transact([Put(version_to_item(verified), Present())], request_token=operation().id)
    assert (await process.resolver.locate(MODEL, PRODUCTION)).version.is_verified
    assert process.table.taken() == ONE_OF_BOTH
    await process.production()
    assert process.table.taken() == ONE_GET


async def test_memory_is_bounded(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 3 * 5120
    monkeypatch.setattr(resolvers, "CACHE_BYTES", limit)
    small = Process(process.table)
    for ref in ("1", "2", "latest", "champion", "production"):
        await small.resolver.locate(MODEL, parse_ref(ref))
        assert small.resolver._kept.currsize <= limit
        assert small.resolver._answers.currsize <= limit
    assert len(small.resolver._answers) == 3


# -- while the table cannot be read


async def test_the_last_answer_is_given_while_the_table_is_away_and_no_longer(
    process: Process, other: Registry
) -> None:
    refs = [parse_ref(text) for text in ("production", "champion", "latest", "2")]
    before = [await process.resolver.locate(MODEL, ref) for ref in refs]
    refs.append(parse_ref(before[0].version.commit))
    before.append(before[0])
    process.table.meet(reads=AWAY)
    await other.promote(MODEL, 2)
    for ref, known in zip(refs, before, strict=True):
        assert await process.resolver.locate(MODEL, ref) == known._replace(stale_seconds=0), ref
    assert process.stale == len(refs)
    for text in ("v1", "staging", "absent"):
        with pytest.raises(UnavailableError):
            await process.resolver.locate(MODEL, parse_ref(text))
    with pytest.raises(UnavailableError):
        await process.resolver.locate("absent", PRODUCTION)
    with pytest.raises(UnavailableError):
        await process.resolver.resolve(MODEL, PRODUCTION)
    process.table.meet()
    found = await process.resolver.locate(MODEL, PRODUCTION)
    assert (found.version.number, found.stale_seconds) == (2, None)
    assert process.stale == len(refs)


async def test_an_answer_is_given_for_so_long_and_says_how_old_it_is(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("modelkeep.services.reading.resolver.time.monotonic", lambda: now)
    await process.production()
    now += 100
    await process.production()
    process.table.meet(reads=AWAY)
    now += 899.5
    assert (await process.resolver.locate(MODEL, PRODUCTION)).stale_seconds == 899
    assert (await process.resolver.locate(MODEL, PRODUCTION)).stale_seconds == 899
    now += 0.5
    with pytest.raises(UnavailableError):
        await process.production()


async def test_nothing_is_remembered_if_nothing_may_be_stale(table: Table, other: Registry) -> None:
    strict = Process(table, stale_for=0)
    await strict.production()
    strict.table.meet(reads=AWAY)
    with pytest.raises(UnavailableError):
        await strict.production()


async def test_what_is_known_to_be_gone_is_not_given_from_memory(process: Process, other: Registry) -> None:
    await process.resolver.locate(MODEL, CHAMPION)
    await process.production()
    await other.services.aliases.remove(MODEL, "champion", caller())
    with pytest.raises(VersionNotFoundError):
        await process.resolver.locate(MODEL, CHAMPION)
    process.table.meet(reads=AWAY)
    with pytest.raises(UnavailableError):
        await process.resolver.locate(MODEL, CHAMPION)
    assert await process.production() == 1

    process.table.meet()
    await other.services.stages.move(MODEL, 1, StageRequest(stage=Stage.ARCHIVED), caller())
    await other.services.models.delete(MODEL, caller())
    with pytest.raises(ModelNotFoundError):
        await process.resolver.locate(MODEL, LATEST)
    process.table.meet(reads=AWAY)
    with pytest.raises(UnavailableError):
        await process.production()


async def test_a_table_that_hangs_is_not_waited_for_where_there_is_an_answer(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvers, "HEAD_TIMEOUT_SECONDS", 0.05)
    before = await process.resolver.locate(MODEL, PRODUCTION)
    process.table.meet(reads=repeat(Fault.HANGING))
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(process.resolver.locate(MODEL, PRODUCTION) for _ in range(10)))
    assert answers == [before._replace(stale_seconds=0)] * 10
    never = asyncio.create_task(process.resolver.locate("absent", PRODUCTION))
    await asyncio.sleep(0.2)
    assert not never.done()
    never.cancel()
    process.table.meet()
    assert (await process.resolver.locate(MODEL, PRODUCTION)).stale_seconds is None


# -- who waits for another version


async def another(process: Process, known: Resolved, seconds: float) -> tuple[int, float]:
    """What answers in the end, and after how long."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = process.resolver.another(MODEL, PRODUCTION, known, known={known.version.commit}, seconds=seconds)
    found = await waiting
    return found.version.number, loop.time() - began


async def test_a_change_that_concerns_another_ref_ends_no_waiting(
    process: Process, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.02)
    known = await process.resolver.locate(MODEL, PRODUCTION)
    waiting = asyncio.create_task(another(process, known, 20))
    for alias in ("b", "c", "d"):
        await other.services.aliases.point(MODEL, alias, 2, caller(), comment=None)
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await other.promote(MODEL, 2)
    assert (await waiting)[0] == 2


async def test_waiting_ends_in_time_though_the_table_goes_away_as_the_model_moves(
    process: Process, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have seen the next generation; the answer itself comes from memory, and of the generation before."""
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.1)
    monkeypatch.setattr("modelkeep.services.reading.resolver.POLL_SECONDS", 0.1)
    known = await process.resolver.locate(MODEL, PRODUCTION)
    ahead = asyncio.create_task(another(process, known._replace(generation=known.generation + 1), 3))
    waiting = asyncio.create_task(another(process, known, 1))
    process.table.meet(reads=AWAY)
    await asyncio.sleep(0.05)
    process.table.taken()
    process.resolver._watch._watched[MODEL].tell(known.generation + 1)
    number, seconds = await waiting
    assert (number, 0.9 < seconds < 2.5) == (1, True)
    assert process.table.taken()["all"] < 40
    process.table.meet()
    await other.promote(MODEL, 2)
    await other.promote(MODEL, 1)
    await other.promote(MODEL, 2)
    assert (await ahead)[0] == 2


async def test_who_waits_while_the_table_is_away_is_answered_when_it_is_back(
    process: Process, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.05)
    await process.production()
    process.table.meet(reads=AWAY)
    known = await process.resolver.locate(MODEL, PRODUCTION)
    waiting = asyncio.create_task(another(process, known, 20))
    await other.promote(MODEL, 2)
    await asyncio.sleep(0.3)
    assert not waiting.done()
    process.table.meet(reads=chain([Fault.UNAVAILABLE], repeat(Fault.NONE)))
    assert (await waiting)[0] == 2
