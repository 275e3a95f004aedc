"""Whatever clients of several processes are told, on good days and bad, one registry could have told them.

A history is 8 clients with 40 operations each, readers and pipelines. `--seed` repeats the choices of one that failed,
though not the moments at which its clients met.
"""

import random
import time
from collections.abc import AsyncIterator

import pytest

from app.domain.values import Ref
from app.services.resolver import Resolved, Resolver
from tests.support.backends import aws_environment, environment, local_environment, prepare
from tests.support.deployments import Deployment, Profile, deployed
from tests.support.servers import AwsServer
from tests.support.workloads import CLIENTS, OPERATIONS, Story, live_through

QUICK = {Profile.NONE: 3, Profile.SLOW_READS: 2, Profile.EVERYTHING: 2}
"""How many histories a quick run sees of each kind of day, if not one."""


@pytest.fixture(scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    with environment(local_environment(tmp_path_factory.mktemp("data"))) as settings:
        await prepare(settings)
        async with deployed(settings) as deployment:
            yield deployment


@pytest.fixture(scope="module")
async def aws(ministack: AwsServer) -> AsyncIterator[Deployment]:
    with environment(aws_environment(ministack)) as settings:
        await prepare(settings)
        async with deployed(settings) as deployment:
            yield deployment


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of the first history; the next ones follow."""
    given: int | None = pytestconfig.getoption("--seed")
    return random.SystemRandom().randrange(10**6) if given is None else given


async def judged(deployment: Deployment, profile: Profile, seed: int, histories: int) -> list[Story]:
    """Live through so many histories, and stop at the first that has faults."""
    stories = []
    for each in range(seed, seed + histories):
        try:
            story = await live_through(deployment, profile, each)
            assert story.faults == [], "\n".join(["", *story.faults])
        except Exception as fault:
            fault.add_note(f"on a day of '{profile}': repeat it with --seed={each}")
            raise
        stories.append(story)
    return stories


@pytest.mark.parametrize("profile", Profile)
async def test_what_is_told_on_any_day_could_have_been_told_by_one(
    local: Deployment, profile: Profile, seed: int
) -> None:
    stories = await judged(local, profile, seed, QUICK.get(profile, 1))
    for story in stories:
        told = sum(verdict.operations for verdict in story.verdicts.values())
        assert told >= CLIENTS * OPERATIONS // 2


async def test_answers_that_are_50_ms_old_are_noticed(
    local: Deployment, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate = Resolver.locate
    kept: dict[tuple[str, Ref], tuple[float, Resolved]] = {}

    async def locate_of_late(resolver: Resolver, model: str, ref: Ref) -> Resolved:
        at, answer = kept.get((model, ref), (0.0, None))
        if answer is None or time.monotonic() - at > 0.05:
            at, answer = time.monotonic(), await locate(resolver, model, ref)
            kept[model, ref] = at, answer
        return answer

    monkeypatch.setattr(Resolver, "locate", locate_of_late)
    story = await live_through(local, Profile.NONE, seed)
    assert any("operations can be put in order" in fault for fault in story.faults)


@pytest.mark.timeout(300)
async def test_what_is_told_on_aws_s_protocols_could_have_been_told_by_one(aws: Deployment, seed: int) -> None:
    await judged(aws, Profile.NONE, seed, 2)


@pytest.mark.thorough
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("profile", Profile)
async def test_two_hundred_such_days(local: Deployment, profile: Profile, seed: int) -> None:
    await judged(local, profile, seed, 200)
