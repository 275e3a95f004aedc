"""An older release and this one on one table at the same time: a deployment that is halfway, forwards or back.

The older one is the first with the format of the head that this one writes, from the history of the repository. Each
runs in a process of its own; a history is as in `test_histories`, and begins with items that a third release, newer
than both, has written.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.settings import Settings
from modelkeep.storage.table import Item, ItemKey
from tests.support.api import Api
from tests.support.backends import environment, local_environment, prepare
from tests.support.histories.deployments import Deployment, Profile
from tests.support.histories.networks import deployed_on_aws
from tests.support.histories.specification import MIXED
from tests.support.histories.workloads import CLIENTS, OPERATIONS, live_through
from tests.support.newer_release import items_of, lost, marked, marks, rewrite
from tests.support.releases import PRESENT, Instance, NoHistoryError, Release, older, side_by_side
from tests.support.servers import AwsServer

FILES: Final = {"model.pt": b"weights", "config.json": b"{}"}
QUICK: Final = {"local": 2, "ministack": 1, "dynamodb_local": 1}
"""Histories of a quick run."""


@dataclass(frozen=True)
class Service:
    """One registry, served by two releases."""

    deployment: Deployment
    instances: Sequence[Instance]
    variables: dict[str, str]
    name: str

    async def check(self) -> None:
        """Both releases find everything in order."""
        for instance in self.instances:
            said = await asyncio.to_thread(instance.release.run, self.variables, "check")
            assert (said.status, said.out) == (0, ["clean"]), (instance.release.name, said)


class Freezes:
    """Weather on one machine: on any but a good day, one process after the other stands still for a moment."""

    patience = 0.6

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._processes = [instance.server.process for instance in instances]
        self._freezing: asyncio.Task[None] | None = None

    def turn(self, profile: Profile, seed: int) -> None:
        if profile is not Profile.NONE:
            self._freezing = asyncio.create_task(self._freeze(random.Random(seed)))

    async def settle(self) -> None:
        if self._freezing:
            self._freezing.cancel()
            with suppress(asyncio.CancelledError):
                await self._freezing
        self._freezing = None

    async def _freeze(self, chance: random.Random) -> None:
        while True:
            process = chance.choice(self._processes)
            await asyncio.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(chance.uniform(0, 0.2))
            finally:
                process.send_signal(signal.SIGCONT)


def own_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "MODELKEEP_"))}


@asynccontextmanager
async def on_one_machine(releases: Sequence[Release], folder: Path) -> AsyncIterator[Service]:
    with environment(local_environment(folder / "data") | UNLIMITED) as settings:
        await prepare(settings)
        variables = own_variables()
        async with side_by_side(releases, variables, folder) as instances, open_storage(settings) as (table, _):
            deployment = Deployment([each.api for each in instances], Freezes(instances), table)
            yield Service(deployment, instances, variables, "local")


UNLIMITED: Final = {"MODELKEEP_LOG_LEVEL": "ERROR", "MODELKEEP_REQUESTS_PER_10_SECONDS": str(10**9)}


@asynccontextmanager
async def on_aws(
    releases: Sequence[Release], folder: Path, server: AwsServer, tables: AwsServer, name: str
) -> AsyncIterator[Service]:
    started: list[Instance] = []
    variables: dict[str, str] = {}

    @asynccontextmanager
    async def serve(_: Settings) -> AsyncIterator[Sequence[Api]]:
        variables.update(own_variables() | UNLIMITED)
        async with side_by_side(releases, variables, folder) as instances:
            started.extend(instances)
            yield [instance.api for instance in instances]

    async with deployed_on_aws(server, tables, serve) as (deployment, _):
        yield Service(deployment, started, variables, name)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    try:
        return [older(tmp_path_factory.mktemp("older")), PRESENT]
    except NoHistoryError as error:
        pytest.skip(str(error))


@pytest.fixture(
    scope="module", params=["local", "ministack", pytest.param("dynamodb_local", marks=pytest.mark.thorough)]
)
async def service(
    request: pytest.FixtureRequest, releases: list[Release], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Both releases on each backend, and with the table in either engine of DynamoDB's protocol."""
    folder, name = tmp_path_factory.mktemp("releases"), request.param
    serving: AbstractAsyncContextManager[Service]
    if name == "local":
        serving = on_one_machine(releases, folder)
    else:
        server: AwsServer = request.getfixturevalue("ministack")
        serving = on_aws(releases, folder, server, request.getfixturevalue(name), name)
    async with serving as service:
        yield service


@pytest.fixture(params=["older first", "this one first"])
def pair(request: pytest.FixtureRequest, service: Service) -> list[Api]:
    """The two releases, in either order."""
    apis = [instance.api for instance in service.instances]
    return apis if request.param == "older first" else apis[::-1]


@pytest.fixture
def model() -> str:
    return f"model-{uuid4().hex[:12]}"


async def etag(api: Api, model: str) -> str:
    return str((await api.request("GET", f"/models/{model}/versions/production/download")).headers["etag"])


async def wait(api: Api, model: str, seconds: int) -> httpx.Response:
    known = {"if-none-match": await etag(api, model)}
    path = f"/models/{model}/versions/production/download?wait={seconds}"
    return await api.request("GET", path, headers=known)


async def test_each_runs_from_its_own_sources(releases: list[Release]) -> None:
    code = "print(__import__('modelkeep').__file__)"
    for release in releases:
        *python, _, _ = release.command("modelkeep")
        said = await asyncio.create_subprocess_exec(*python, "-c", code, stdout=asyncio.subprocess.PIPE)
        out, _ = await said.communicate()
        assert out.decode().strip() == str(release.sources / "modelkeep" / "__init__.py")


async def test_one_goes_on_with_what_the_other_has_begun(pair: list[Api], model: str) -> None:
    one, other = pair
    begun = await one.begin(model, FILES, key=f"{model}-1")
    assert (await other.begin(model, FILES, key=f"{model}-1"))["version"] == begun["version"] == 1
    await one.upload(begun, FILES)
    await other.complete(model, 1)
    await one.promote(model, 1)
    assert await other.fetch(model) == FILES
    assert await other.register(model, FILES) == 2
    await other.ask("PUT", f"/{model}/aliases/champion", {"version": 2})
    assert (await one.download(model, "champion"))["commit"] == (await other.download(model, "latest"))["commit"]
    await one.promote(model, 2, expected_production=1)
    rolled_back = [
        await each.ask("POST", f"/{model}/rollback", {}, headers={"idempotency-key": model}) for each in pair
    ]
    assert [version["version"] for version in rolled_back] == [1, 1]
    await one.ask("DELETE", f"/{model}/aliases/champion", status=204)
    await other.ask("DELETE", f"/{model}/versions/2", status=204)
    await one.ask("POST", f"/{model}/versions/2/restore")
    assert await other.model(model) == await one.model(model)
    assert await other.events(model) == await one.events(model)
    assert len(await one.events(model)) == await other.generation(model) == 11


async def test_an_alias_with_capitals_is_the_other_ones_in_lower_case(service: Service, model: str) -> None:
    old, new = (instance.api for instance in service.instances)
    for _ in range(2):
        await old.register(model)
    await old.ask("PUT", f"/{model}/aliases/canary", {"version": 1})
    await new.ask("PUT", f"/{model}/aliases/Champion", {"version": 1})
    assert (await old.model(model))["aliases"] == {"canary": 1, "champion": 1}
    await old.ask("PUT", f"/{model}/aliases/champion", {"version": 2})
    await old.ask("PATCH", f"/{model}", {"description": "edited"})
    assert (await new.model(model))["aliases"] == {"canary": 1, "Champion": 2}
    assert (await new.download(model, "champion"))["version"] == (await old.download(model, "champion"))["version"] == 2
    await old.ask("DELETE", f"/{model}/aliases/champion", status=204)
    assert (await new.model(model))["aliases"] == {"canary": 1}
    await new.ask("PUT", f"/{model}/aliases/CANARY", {"version": 2})
    assert (await old.model(model))["aliases"] == {"canary": 2}
    for api in (old, new):
        assert (await api.ask("GET", f"/{model}/versions/canary"))["version"] == 2


async def test_a_list_goes_on_at_the_other(pair: list[Api], model: str) -> None:
    one, other = pair
    for _ in range(3):
        await one.register(model)
    first = await one.ask("GET", f"/{model}/versions?limit=1")
    second = await other.ask("GET", f"/{model}/versions?limit=2&cursor={first['next_cursor']}")
    assert [version["version"] for version in [*first["items"], *second["items"]]] == [3, 2, 1]


async def test_waiting_at_one_ends_with_a_promotion_at_the_other(pair: list[Api], model: str) -> None:
    one, other = pair
    for _ in range(2):
        await other.register(model)
    await other.promote(model, 1)
    waiting = asyncio.create_task(wait(one, model, 50))
    await asyncio.sleep(1)
    assert not waiting.done()
    await other.promote(model, 2)
    answer = await asyncio.wait_for(waiting, 15)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)


async def live_side_by_side(service: Service, seed: int, histories: int) -> dict[str, int]:
    """Live through histories on all kinds of days in turn; what was counted."""
    counted = {"histories": 0, "operations": 0, "marks": 0}
    for number in range(seed, seed + histories):
        profile = list(Profile)[number % len(Profile)]
        before: dict[ItemKey, Item] = {}

        async def take_part(models: Sequence[str], before: dict[ItemKey, Item] = before) -> None:
            await rewrite(service.deployment.table, *[marked(each) for each in (await find(models)).values()])
            before |= await find(models)

        async def find(models: Sequence[str]) -> dict[ItemKey, Item]:
            return await items_of(service.deployment.table, models)

        try:
            story = await live_through(service.deployment, profile, number, before_work=take_part, specification=MIXED)
            assert story.faults == [], "\n".join(["", *story.faults])
            after = await find(list(story.verdicts))
            assert lost(before, after) == []
        except Exception as fault:
            fault.add_note(f"on a day of '{profile}': repeat it with --seed={number}")
            raise
        counted["histories"] += 1
        counted["operations"] += sum(verdict.operations for verdict in story.verdicts.values())
        counted["marks"] += sum(len(set(marks(item))) for item in after.values())
    return counted


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of the first history; the next ones follow."""
    given: int | None = pytestconfig.getoption("--seed")
    return random.SystemRandom().randrange(10**6) if given is None else given


@pytest.mark.timeout(300)
async def test_what_two_releases_tell_could_have_been_told_by_one(service: Service, seed: int) -> None:
    counted = await live_side_by_side(service, seed, QUICK[service.name])
    assert counted["operations"] >= QUICK[service.name] * CLIENTS * OPERATIONS // 2
    assert counted["marks"] > 0
    await service.check()


@pytest.mark.thorough
@pytest.mark.timeout(3 * 3600)
async def test_two_hundred_histories_of_two_releases(service: Service, seed: int, record_property: Any) -> None:
    counted = await live_side_by_side(service, seed, 200)
    await service.check()
    record_property("counted", str(counted))
