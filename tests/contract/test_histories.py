"""Whatever clients of several processes are told, on good days and bad, one registry could have told them.

A history is 8 clients with 40 operations each, readers and pipelines. `--seed` repeats the choices of one that failed,
though not the moments at which its clients met.
"""

import random
import time
from collections.abc import AsyncIterator

import pytest

from modelkeep.domain.downloads import Resolved
from modelkeep.domain.values import Ref
from modelkeep.services.reading.resolver import Resolver
from modelkeep.storage.aws import dynamodb
from modelkeep.storage.aws.dynamodb_failures import read_failure
from tests.support.backends import environment, local_environment, prepare
from tests.support.faults.aws import Fault
from tests.support.histories.deployments import Deployment, Profile, deployed
from tests.support.histories.networks import NETWORK, WRITE, Network, deployed_on_aws
from tests.support.histories.workloads import CLIENTS, OPERATIONS, Story, live_through
from tests.support.servers import AwsServer

OnAws = tuple[Deployment, Network]


@pytest.fixture(scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    with environment(local_environment(tmp_path_factory.mktemp("data"))) as settings:
        await prepare(settings)
        async with deployed(settings) as deployment:
            yield deployment


@pytest.fixture(scope="module")
async def aws(ministack: AwsServer) -> AsyncIterator[OnAws]:
    async with deployed_on_aws(ministack, ministack) as deployment:
        yield deployment


@pytest.fixture(scope="module", params=["ministack", "dynamodb_local"])
async def any_aws(request: pytest.FixtureRequest, ministack: AwsServer) -> AsyncIterator[OnAws]:
    """The table on either engine, and the objects on ministack."""
    async with deployed_on_aws(ministack, request.getfixturevalue(request.param)) as deployment:
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
    stories = await judged(local, profile, seed, 1)
    for story in stories:
        told = sum(verdict.operations for verdict in story.verdicts.values())
        assert told >= CLIENTS * OPERATIONS // 2


async def test_answers_that_are_50_ms_old_are_noticed(
    local: Deployment, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = Resolver.resolve_for_download
    kept: dict[tuple[str, Ref], tuple[float, Resolved]] = {}

    async def resolve_late(resolver: Resolver, model: str, ref: Ref) -> Resolved:
        at, answer = kept.get((model, ref), (0.0, None))
        if answer is None or time.monotonic() - at > 0.05:
            at, answer = time.monotonic(), await resolve(resolver, model, ref)
            kept[model, ref] = at, answer
        return answer

    monkeypatch.setattr(Resolver, "resolve_for_download", resolve_late)
    story = await live_through(local, Profile.NONE, seed)
    assert any("operations can be put in order" in fault for fault in story.faults)


@pytest.mark.timeout(300)
async def test_what_is_told_over_a_bad_network_to_aws_could_have_been_told_by_one(aws: OnAws, seed: int) -> None:
    deployment, network = aws
    await judged(deployment, Profile.EVERYTHING, seed, 1)
    faults = {fault for operation, fault in network.met() if operation == WRITE} - {Fault.NONE}
    assert len(faults) >= len(NETWORK[Profile.EVERYTHING].writes) - 3, "that was no bad day"


async def test_a_list_on_such_a_network_lacks_what_began_a_moment_ago(aws: OnAws, seed: int) -> None:
    (api, *_), network = aws[0].apis, aws[1]
    network.turn(Profile.SLOW_READS, seed)
    network.dynamodb.lag = 60
    assert (await api.ask("GET", "?prefix=new"))["items"] == []
    await api.begin("newcomer", {"model.pt": b"weights"})
    assert (await api.ask("GET", "?prefix=new"))["items"] == []
    await network.settle()
    assert [each["model"] for each in (await api.ask("GET", "?prefix=new"))["items"]] == ["newcomer"]


@pytest.mark.timeout(300)
async def test_replies_that_are_lost_and_taken_for_failures_are_noticed(
    aws: OnAws, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb, "write_failure", read_failure)
    story = await live_through(aws[0], Profile.REPLIES_LOST, seed)
    assert any("operations can be put in order" in fault for fault in story.faults)


@pytest.mark.thorough
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("profile", Profile)
async def test_two_hundred_such_days(local: Deployment, profile: Profile, seed: int) -> None:
    await judged(local, profile, seed, 200)


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", Profile)
async def test_ten_such_days_on_each_engine_of_aws_s_protocols(any_aws: OnAws, profile: Profile, seed: int) -> None:
    await judged(any_aws[0], profile, seed, 10)
