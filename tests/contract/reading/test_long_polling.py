"""Waiting for another version to answer to a ref, while the table comes and goes."""

import asyncio
from collections.abc import Awaitable
from itertools import chain, repeat

import pytest

from modelkeep.domain.downloads import Download, Resolved
from tests.support.faults.storage import Fault
from tests.support.read_path import MODEL, ReadPath
from tests.support.registries import PRODUCTION, Registry

pytestmark = pytest.mark.one_backend


async def timed(waiting: Awaitable[Download | Resolved]) -> tuple[int, float]:
    """The version that answers in the end, and after how many seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await waiting
    return found.version.number, loop.time() - began


def waiting(process: ReadPath, known: Download, seconds: float, *, ahead: int = 0) -> "asyncio.Task[tuple[int, float]]":
    """A request that has resolved production to `known`, of that generation or `ahead` of it, and waits for another."""
    resolved = Resolved(known.generation + ahead, known.version)
    commits = {known.version.commit}
    wait = process.downloads._wait_for_other(MODEL, PRODUCTION, resolved, known=commits, seconds=seconds)
    return asyncio.create_task(timed(wait))


async def test_waiting_ends_in_time_though_the_table_goes_away_as_the_model_moves(
    process: ReadPath, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have read the next generation; the answer itself is stale, and of the generation before."""
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.1)
    monkeypatch.setattr("modelkeep.services.reading.downloads.POLL_SECONDS", 0.1)
    known = await process.locate(PRODUCTION)
    ahead = waiting(process, known, 3, ahead=1)
    behind = waiting(process, known, 1)
    process.table.meet(reads=repeat(Fault.UNAVAILABLE))
    await asyncio.sleep(0.05)
    process.table.reads()
    process.poller._subscriptions[MODEL].publish(known.generation + 1)
    number, seconds = await behind
    assert (number, 0.9 < seconds < 20) == (1, True)
    assert process.table.reads()["all"] < 40
    process.table.meet()
    await other.promote(MODEL, 2)
    await other.promote(MODEL, 1)
    await other.promote(MODEL, 2)
    assert (await ahead)[0] == 2


async def test_a_request_that_waits_while_the_table_is_away_is_answered_when_it_is_back(
    process: ReadPath, other: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.05)
    await process.number()
    process.table.meet(reads=repeat(Fault.UNAVAILABLE))
    task = waiting(process, await process.locate(PRODUCTION), 20)
    await other.promote(MODEL, 2)
    await asyncio.sleep(0.3)
    assert not task.done()
    process.table.meet(reads=chain([Fault.UNAVAILABLE], repeat(Fault.NONE)))
    assert (await task)[0] == 2
