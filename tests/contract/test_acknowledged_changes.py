"""What callers are told of changes of every kind, through a network that fails three requests of ten, is what happened.

The ledger has its real patience, and so has the SDK where there is one; the clock leaps over the waiting. Without the
SDK more is lost, and more stays unknown: that is harder on the ledger, and no figure is promised for it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelkeep.domain.events import Event
from modelkeep.repositories import optimistic_transaction as commits
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Table
from tests.contract.conftest import TABLES, Clients
from tests.support.clocks import LeapingLoop, run_leaping
from tests.support.faults.sdk_retries import ANSWER_SECONDS, resending
from tests.support.faults.storage import ALL, Fault, FaultyTable, at_random
from tests.support.journeys.acknowledged import Mutation, check, effects_of
from tests.support.journeys.mutations import KINDS, Client, Shelf
from tests.support.registries import Registry

MODELS = ("fraud-detector", "churn", "ranking", "spam")
PROCESSES = 4
CLIENTS = 10
RATE = 0.3
SLOW_SECONDS = 1.0
LATE_SECONDS = 12.0
"""Longer than anybody waits."""

MUTATIONS = {"local": (240, 10_000), "ministack": (60, 1_000), "dynamodb-local": (50, 1_000)}
"""In a quick run, and in a thorough one."""


@dataclass
class Story:
    """What a network did to a registry: what was told, and what is there."""

    mutations: Sequence[Mutation]
    histories: dict[str, list[Event]]
    faults: list[str]
    patient: bool


def bad_network(table: Table, seed: int, *, patient: bool) -> FaultyTable:
    """A process's way to the table.

    Where no SDK reads again, readers are spared, or few would come to writing; and none waits for ever, for only the
    driver ends the wait of a read outside the ledger.
    """
    writes = at_random(seed, RATE, ALL)
    reads = (
        at_random(seed + PROCESSES, RATE, ALL)
        if patient
        else at_random(seed + PROCESSES, RATE / 10, [Fault.UNAVAILABLE, Fault.SLOW])
    )
    return FaultyTable(table, writes=writes, reads=reads, slow=SLOW_SECONDS, late=LATE_SECONDS)


async def tell(table: Table, folder: Path, mutations: int, *, patient: bool) -> Story:
    """Let clients work through bad networks, with the SDK's patience or without, and wait for what is late."""
    store = await FileStore.open(folder, public_url="http://registry")
    calm = Registry(table, store)
    shelves = [Shelf(model) for model in MODELS]
    async with AsyncExitStack() as stack:
        networks = [bad_network(table, seed, patient=patient) for seed in range(PROCESSES)]
        for network in networks:
            await stack.enter_async_context(network)
        processes = [Registry(resending(network) if patient else network, store) for network in networks]
        clients = [Client(processes, calm, shelves, seed=seed) for seed in range(CLIENTS)]
        await asyncio.gather(*(client.work(mutations // CLIENTS) for client in clients))
    return Story(
        [mutation for client in clients for mutation in client.mutations],
        {model: await calm.history(model) for model in MODELS},
        await calm.faults(),
        patient,
    )


@pytest.fixture(
    params=[("local", True), *((name, False) for name in TABLES)],
    ids=lambda way: f"{way[0]}-{'sdk' if way[1] else 'bare'}",
)
def story(
    request: pytest.FixtureRequest, tmp_path: Path, thorough: bool, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Story]:
    """Run it, on every driver and engine."""
    name, patient = request.param

    async def main(loop: LeapingLoop) -> Story:
        monkeypatch.setattr(commits, "time", SimpleNamespace(monotonic=loop.time))
        stack = AsyncExitStack()
        with loop.working():
            table = await stack.enter_async_context(TABLES[name](request, Clients(stack)))
        try:
            return await tell(loop.awaited(table), tmp_path / "data", MUTATIONS[name][thorough], patient=patient)
        finally:
            with loop.working():
                await stack.aclose()

    if name != "local":
        request.getfixturevalue(name.replace("-", "_"))
    return lambda: run_leaping(main)


def most_unknown(answers: int) -> float:
    """One in a hundred; of few answers as many as may well be unknown where one in a hundred is."""
    return answers / 100 if answers >= 10_000 else answers / 100 + 4 * (answers / 100) ** 0.5


@pytest.mark.timeout(900)
def test_what_was_told_of_every_kind_of_change_is_what_happened(
    story: Callable[[], Story], thorough: bool, record_property: Callable[[str, object], None]
) -> None:
    told = story()
    effects = effects_of(told.mutations, told.histories)
    for mutation in told.mutations:
        check(mutation, effects[mutation.request_ids[0]], told.histories[mutation.model])
    assert told.faults == []

    answers = Counter(answer for mutation in told.mutations for answer in mutation.answers)
    unknown = [mutation for mutation in told.mutations if mutation.was_unknown]
    settled = [mutation for mutation in unknown if mutation.key]
    if told.patient:
        assert answers["unknown"] <= most_unknown(answers.total())
    if thorough:
        assert unknown
        assert {mutation.kind for mutation in told.mutations if mutation.told == "ok"} == set(KINDS)
    record_property(
        "told",
        f"{len(told.mutations)} mutations of {len(KINDS)} kinds: {answers['ok']} ok, {answers['refused']} refused,"
        f" {answers['failed']} failed, {answers['unknown']} unknown; of {len(unknown)} mutations that were unknown"
        f" {len(settled)} had a key and were settled",
    )


def test_what_is_left_after_the_last_start_outlasts_a_request_without_an_answer() -> None:
    assert (1 - commits.SEND_DEADLINE_FRACTION) * commits.DEADLINE_SECONDS > ANSWER_SECONDS
