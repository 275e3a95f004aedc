"""While the table cannot be read, the last known good answers are served, with their age and for a limited time."""

import asyncio
from dataclasses import replace
from itertools import repeat
from typing import Final

import pytest

from modelkeep.domain.changes import StageRequest
from modelkeep.domain.errors import ModelNotFoundError, UnavailableError, VersionNotFoundError
from modelkeep.domain.values import Stage, parse_ref
from modelkeep.services.reading import resolver, stale_cache
from modelkeep.storage.local.files import FileStore
from tests.support.faults.storage import Fault
from tests.support.read_path import MODEL, ReadPath
from tests.support.registries import PRODUCTION, Registry, caller

pytestmark = pytest.mark.one_backend

CHAMPION: Final = parse_ref("champion")
LATEST: Final = parse_ref("latest")
AWAY: Final = repeat(Fault.UNAVAILABLE)


async def test_the_last_answer_is_served_while_the_table_is_away_and_no_longer(
    process: ReadPath, other: Registry
) -> None:
    refs = [parse_ref(text) for text in ("production", "champion", "latest", "2")]
    before = [await process.locate(ref) for ref in refs]
    refs.append(parse_ref(before[0].version.commit))
    before.append(before[0])
    process.table.meet(reads=AWAY)
    await other.promote(MODEL, 2)
    for ref, answer in zip(refs, before, strict=True):
        assert await process.locate(ref) == replace(answer, stale_seconds=0), ref
    assert process.stale_answers == len(refs)
    for text in ("v1", "staging", "absent"):
        with pytest.raises(UnavailableError):
            await process.locate(parse_ref(text))
    with pytest.raises(UnavailableError):
        await process.locate(PRODUCTION, "absent")
    with pytest.raises(UnavailableError):
        await process.resolver.resolve(MODEL, PRODUCTION)
    process.table.meet()
    found = await process.locate(PRODUCTION)
    assert (found.version.number, found.stale_seconds) == (2, None)
    assert process.stale_answers == len(refs)


async def test_an_answer_is_served_until_it_is_too_old_and_has_its_age(
    process: ReadPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("modelkeep.services.reading.stale_cache.time.monotonic", lambda: now)
    await process.number()
    now += 100
    await process.number()
    process.table.meet(reads=AWAY)
    now += 899.5
    assert (await process.locate(PRODUCTION)).stale_seconds == 899
    assert (await process.locate(PRODUCTION)).stale_seconds == 899
    now += 0.5
    with pytest.raises(UnavailableError):
        await process.number()


async def test_what_is_known_to_be_gone_is_not_served(process: ReadPath, other: Registry) -> None:
    await process.locate(CHAMPION)
    await process.number()
    await other.services.aliases.remove(MODEL, "champion", caller())
    with pytest.raises(VersionNotFoundError):
        await process.locate(CHAMPION)
    process.table.meet(reads=AWAY)
    with pytest.raises(UnavailableError):
        await process.locate(CHAMPION)
    assert await process.number() == 1

    process.table.meet()
    await other.services.stages.move(MODEL, 1, StageRequest(stage=Stage.ARCHIVED), caller())
    await other.services.models.delete(MODEL, caller())
    with pytest.raises(ModelNotFoundError):
        await process.locate(LATEST)
    process.table.meet(reads=AWAY)
    with pytest.raises(UnavailableError):
        await process.number()


async def test_a_table_that_hangs_is_not_waited_for_where_there_is_an_answer(
    process: ReadPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "HEAD_TIMEOUT_SECONDS", 0.05)
    before = await process.locate(PRODUCTION)
    process.table.meet(reads=repeat(Fault.HANGING))
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(process.locate(PRODUCTION) for _ in range(10)))
    assert answers == [replace(before, stale_seconds=0)] * 10
    never = asyncio.create_task(process.locate(PRODUCTION, "absent"))
    await asyncio.sleep(0.2)
    assert not never.done()
    never.cancel()
    process.table.meet()
    assert (await process.locate(PRODUCTION)).stale_seconds is None


async def test_memory_is_bounded(process: ReadPath, store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 3 * 5120
    monkeypatch.setattr(stale_cache, "CACHE_BYTES", limit)
    small = ReadPath(process.table, store)
    for ref in ("1", "2", "latest", "champion", "production"):
        await small.locate(parse_ref(ref))
        assert small.stale_cache._answers.currsize <= limit
    assert len(small.stale_cache._answers) == 3
