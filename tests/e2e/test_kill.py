"""The service killed at any instant, and `sweep` with it: what was acknowledged is there once, and nothing is half."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from modelkeep.domain.events import Event, EventType
from modelkeep.domain.models import Head
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.versions import Versions
from tests.support.api import Api
from tests.support.backends import aws_environment, environment, local_environment, prepare
from tests.support.journeys.acknowledged import check, effects_of, replayed
from tests.support.journeys.callers import Caller, Shelf
from tests.support.processes.forks import Forked, Forks
from tests.support.programs import EXECUTABLE
from tests.support.reference_registry import ARCHIVED, PRODUCTION, STAGING
from tests.support.servers import free_port
from tests.support.upkeep import Storage, looking_into

MODELS = ("fraud-detector", "churn", "ranking")
CALLERS = 2
"""Of each model."""

PHASES = ("working", "starting", "working", "working", "stopping")
"""In which kills come, in turn."""

LATER = timedelta(hours=2, minutes=30)
"""When uploads and trash of these lives are due, and their bytes, but no Idempotency-Key."""

LIVES = {"MODELKEEP_UPLOAD_TTL_SECONDS": "60", "MODELKEEP_TRASH_TTL_SECONDS": "3600"}


@dataclass
class Registry:
    """A service of the program's own that is started and killed again and again, and the commands beside it."""

    forks: Forks
    variables: Mapping[str, str]
    port: int
    folder: Path
    dice: random.Random
    counted: Counter[str] = field(default_factory=Counter)
    phases: Iterator[str] = field(default_factory=lambda: cycle(PHASES))

    def start(self) -> Forked:
        command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        return self.forks.start(command, self.variables, log=self.folder / "service.log")

    async def live_and_die(self, http: httpx.AsyncClient) -> None:
        """Start, and be killed: while starting, at work, or while stopping."""
        service = self.start()
        phase = next(self.phases)
        if phase == "starting":
            await asyncio.sleep(self.dice.uniform(0, 0.4))
        else:
            await ready(http)
            await asyncio.sleep(self.dice.uniform(0.02, 0.6))
        if phase == "stopping":
            service.send_signal(signal.SIGTERM)
            await asyncio.sleep(self.dice.uniform(0, 0.1))
        service.kill()
        service.wait()
        self.counted[phase] += 1

    async def sweep(self, *, kills: int) -> None:
        """Sweep as if some hours had passed, kill that so many times, and then let it come to its end."""
        for _ in range(kills):
            sweep = self.begin("sweep", later=LATER)
            await asyncio.sleep(self.dice.uniform(0, 0.3))
            sweep.kill()
            sweep.wait()
            self.counted["sweeping"] += 1
        await self.run("sweep", later=LATER)

    async def check(self) -> None:
        assert await self.run("check") == ["clean"]
        self.counted["checks"] += 1

    async def run(self, name: str, *, later: timedelta = timedelta()) -> list[str]:
        """Let a command come to its end, which is a good one; what it said."""
        command = self.begin(name, later=later)
        assert await asyncio.to_thread(command.wait) == 0, command.said()
        return command.said()

    def begin(self, name: str, *, later: timedelta) -> Forked:
        log = self.folder / f"{name}.log"
        return self.forks.start([EXECUTABLE, name], self.variables, log=log, later=later.total_seconds())


async def ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while not await is_ready(http):  # noqa: ASYNC110 -- the service has no way to call
            await asyncio.sleep(0.01)


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@asynccontextmanager
async def working(http: httpx.AsyncClient, shelves: Sequence[Shelf]) -> AsyncIterator[list[Caller]]:
    """Callers at work until the block ends, where they come to the end of what they have begun."""
    callers = [Caller(http, shelf, seed=seed) for seed, shelf in enumerate(list(shelves) * CALLERS)]
    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.work())
        yield callers
        for caller in callers:
            caller.stopping = True


async def hold_to_account(callers: Sequence[Caller], storage: Storage) -> None:
    """What each was told is what the histories say."""
    histories = {model: await storage.history(model) for model in MODELS}
    mutations = [mutation for caller in callers for mutation in caller.mutations]
    effects = effects_of(mutations, histories)
    for mutation in mutations:
        found, history = effects[mutation.request_ids[0]], histories[mutation.model]
        if mutation.kind is EventType.UPLOAD_BEGUN and mutation.told == "refused" and found:
            assert any(was_swept(event, found[0].version) for event in history)
        else:
            check(mutation, found, history)


def was_swept(event: Event, number: int | None) -> bool:
    return event.type is EventType.UPLOAD_EXPIRED and event.version == number


async def hold_to_history(shelf: Shelf, storage: Storage, api: Api) -> set[str]:
    """Production, aliases, versions and bytes are what history makes them; the keys of the bytes."""
    history = await storage.history(shelf.model)
    head, versions = await Heads(storage.table).find(shelf.model), Versions(storage.table)
    assert isinstance(head, Head)
    expected = replayed(history)[-1]
    assert head.production_version == expected.production
    assert head.aliases == dict(expected.aliases)
    live = {version.number: version async for version in versions.walk(shelf.model)}
    assert set(live) == set(expected.numbers(STAGING, PRODUCTION, ARCHIVED))
    assert [upload async for upload in versions.walk_uploads(shelf.model)] == []
    assert [trashed async for trashed in versions.walk_trash(shelf.model)] == []
    for number in live:
        assert await api.fetch(shelf.model, str(number)) == shelf.files[number]
    return {artifact.key for version in live.values() for artifact in version.artifacts}


@pytest.fixture(params=["local", "ministack"])
def variables(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "local":
        return local_environment(tmp_path / "data") | LIVES
    return aws_environment(request.getfixturevalue("ministack")) | LIVES


async def be_killed(registry: Registry, kills: int, *, sweep_after: int, check_after: int) -> list[Caller]:
    shelves = [Shelf(model) for model in MODELS]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{registry.port}", trust_env=False, timeout=30) as http:
        async with working(http, shelves) as callers:
            for kill in range(1, kills + 1):
                await registry.live_and_die(http)
                if kill % sweep_after == 0:
                    await registry.sweep(kills=2)
                if kill % check_after == 0:
                    await registry.check()
            service = registry.start()
        with environment(registry.variables) as settings:
            async with looking_into(settings) as storage:
                await hold_to_account(callers, storage)
                await registry.sweep(kills=0)
                kept = [await hold_to_history(shelf, storage, Api(http)) for shelf in shelves]
                assert await storage.keys() == set().union(*kept)
                assert await storage.open_multiparts() == set()
        service.kill()
        service.wait()
    await registry.check()
    assert await registry.run("sweep", later=LATER) == ["0 thing(s) swept"]
    return callers


def counts(registry: Registry, callers: Sequence[Caller]) -> str:
    mutations = [mutation for caller in callers for mutation in caller.mutations]
    told = Counter(mutation.told for mutation in mutations)
    unanswered = sum(mutation.was_unknown for mutation in mutations)
    killed = {phase: registry.counted[phase] for phase in ("starting", "working", "stopping", "sweeping")}
    assert told["ok"]
    assert unanswered
    return (
        f"{killed}; {len(mutations)} changes, {told['ok']} ok, {told['refused']} refused;"
        f" {unanswered} were unanswered, and settled; {registry.counted['checks']} checks clean"
    )


@pytest.fixture
async def registry(forks: Forks, variables: dict[str, str], tmp_path: Path) -> Registry:
    port = free_port()
    variables = variables | {"MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    with environment(variables) as settings:
        await prepare(settings)
    return Registry(forks, variables, port, tmp_path, random.Random())


@pytest.mark.timeout(180)
async def test_a_killed_service_keeps_what_it_acknowledged(
    registry: Registry, record_property: Callable[[str, object], None]
) -> None:
    kills = 12 if registry.variables["MODELKEEP_BACKEND"] == "local" else 6
    callers = await be_killed(registry, kills, sweep_after=kills // 2, check_after=kills)
    record_property("killed", counts(registry, callers))


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fifty", range(1, 11))
async def test_five_hundred_kills_lose_nothing_and_double_nothing(
    registry: Registry, fifty: int, record_property: Callable[[str, object], None]
) -> None:
    callers = await be_killed(registry, 50, sweep_after=5, check_after=3)
    record_property(f"killed, {fifty}. fifty", counts(registry, callers))
