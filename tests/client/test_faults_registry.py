"""Reading and changing while the registry, or a proxy in front of it, misbehaves."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from modelkeep.client import AsyncRegistryClient
from modelkeep.client.errors import NotARegistryError, UnknownProblemError, UnreachableError
from modelkeep.domain.errors import (
    ContentionError,
    InvalidRequestError,
    OutcomeUnknownError,
    RegistryError,
    UnavailableError,
    VersionInUseError,
)
from tests.support.faults.network import answers, cuts, drops, loses_the_reply, problem, sleeps
from tests.support.faults.proxy import Fault, Forward, Proxy, Reply, Request
from tests.support.servers import free_port

pytestmark = pytest.mark.usefixtures("slept")

API = r"^/v1/"
CHANGE = "POST|PUT|PATCH|DELETE"
Write = Callable[..., Path]
Change = Callable[[AsyncRegistryClient, str, Path], Awaitable[object]]


@pytest.fixture
async def registry(proxy: Proxy) -> AsyncIterator[AsyncRegistryClient]:
    async with AsyncRegistryClient(proxy.url) as registry:
        yield registry


@pytest.fixture
async def source(proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write) -> Path:
    """The file of two versions: the first was production before the second; the second is `canary`."""
    source = write(10)
    for number in (1, 2):
        await registry.register(model, source)
        await registry.promote(model, number)
    await registry.set_alias(model, "canary", 2)
    await registry.register(model, source)
    await registry.delete_version(model, 3)
    proxy.reset()
    return source


CHANGES: dict[str, tuple[str, Change]] = {
    "begin": (r"/versions$", lambda registry, model, source: registry.register(model, source)),
    "complete": (r"/complete$", lambda registry, model, source: registry.register(model, source)),
    "promote": (r"/stage$", lambda registry, model, _: registry.promote(model, 1)),
    "roll back": (r"/rollback$", lambda registry, model, _: registry.rollback(model)),
    "set alias": (r"/aliases/", lambda registry, model, _: registry.set_alias(model, "eu", 1)),
    "remove alias": (r"/aliases/", lambda registry, model, _: registry.remove_alias(model, "canary")),
    "edit version": (r"/versions/1$", lambda registry, model, _: registry.edit_version(model, 1, tags={"a": "b"})),
    "edit model": (r"/models/[^/]+$", lambda registry, model, _: registry.edit_model(model, description="new")),
    "delete": (r"/versions/1$", lambda registry, model, _: registry.delete_version(model, 1)),
    "restore": (r"/restore$", lambda registry, model, _: registry.restore(model, 3)),
}


@pytest.mark.parametrize(("path", "change"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("fault", [drops, loses_the_reply], ids=["request lost", "reply lost"])
async def test_a_change_without_a_reply_is_sent_again_and_takes_effect_once(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, source: Path, path: str, change: Change, fault: Fault
) -> None:
    before = (await registry.get_model(model)).generation
    proxy.when(CHANGE, path, fault, times=1)
    await change(registry, model, source)
    first, second = proxy.asked(CHANGE, path)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    expected = 2 if path in {r"/versions$", r"/complete$"} else 1
    assert len(await registry.list_events(model, after=before)) == expected


async def test_every_change_has_a_key_of_its_own(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, source: Path
) -> None:
    for _, change in CHANGES.values():
        with suppress(VersionInUseError):
            await change(registry, model, source)
    keys = [request.headers["idempotency-key"] for request in proxy.asked(CHANGE, API)]
    assert len(keys) == len(set(keys)) >= len(CHANGES)


@pytest.mark.parametrize(
    "fault",
    [
        *(problem(503, code) for code in ("contention", "outcome_unknown", "unavailable")),
        answers(502, "<html>Bad Gateway</html>", content_type="text/html"),
        answers(504, ""),
        answers(429, "slow down"),
        drops,
        cuts(20),
    ],
    ids=["contention", "outcome_unknown", "unavailable", "502", "504", "429", "lost", "cut"],
)
async def test_what_may_pass_is_asked_again(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, source: Path, fault: Fault
) -> None:
    proxy.when("GET|PUT", API, fault, times=5)
    assert (await registry.get_version(model, "production")).version == 2
    assert len(proxy.asked("GET", API)) == 6
    proxy.reset()
    proxy.when("GET|PUT", API, fault, times=5)
    assert (await registry.promote(model, 1)).stage == "production"
    assert len({request.headers["idempotency-key"] for request in proxy.asked("PUT", API)}) == 1
    assert len(proxy.asked("PUT", API)) == 6


def _loses_the_reply_late(request: Request, forward: Forward) -> Reply:
    forward(request)
    return sleeps(1)(request, forward)


async def test_a_registry_that_says_nothing_is_asked_again(
    proxy: Proxy, model: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.registry_transport._TIMEOUT", httpx.Timeout(0.5, connect=5))
    proxy.when("PUT", API, _loses_the_reply_late, times=1)
    proxy.when("GET", API, sleeps(1), times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.promote(model, 1)
        assert (await registry.get_version(model, "production")).version == 1
    assert len({request.headers["idempotency-key"] for request in proxy.asked("PUT", API)}) == 1
    assert min(len(proxy.asked("PUT", API)), len(proxy.asked("GET", API))) >= 2


async def test_a_registry_that_goes_on_saying_nothing_is_named_in_one_sentence(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.registry_transport._TIMEOUT", httpx.Timeout(0.2, connect=5))
    proxy.when("GET", API, sleeps(0.5))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(UnreachableError, match="no bytes came or went for too long"):
            await registry.list_models()


@pytest.mark.parametrize("asked", ["3", "date"])
async def test_the_registry_is_given_the_seconds_that_it_asks_for(
    proxy: Proxy, registry: AsyncRegistryClient, slept: list[float], asked: str
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=4)
    after = format_datetime(at, usegmt=True) if asked == "date" else asked
    proxy.when("GET", API, answers(503, "", retry_after=after), times=1)
    await registry.list_models()
    assert 2 <= slept[0] <= 5
    assert len(slept) == 1


async def test_pauses_grow_and_are_spread(proxy: Proxy, registry: AsyncRegistryClient, slept: list[float]) -> None:
    proxy.when("GET", API, drops)
    for _ in range(3):
        with pytest.raises(UnreachableError):
            await registry.list_models()
    assert len(slept) == 15
    assert len(set(slept)) == 15
    assert all(pause <= 0.25 * 2 ** (number % 5 + 1) for number, pause in enumerate(slept))
    assert max(slept[4::5]) > 0.5


@pytest.mark.parametrize(
    ("status", "code", "fields", "error"),
    [
        (400, "malformed", {}, RegistryError),
        (401, "unauthorized", {}, UnknownProblemError),
        (403, "forbidden", {}, RegistryError),
        (404, "model_not_found", {"model": "m"}, RegistryError),
        (408, "timeout", {}, UnknownProblemError),
        (409, "version_in_use", {"model": "m", "version": 1, "stage": "staging", "aliases": ["a"]}, VersionInUseError),
        (412, "precondition_failed", {}, RegistryError),
        (413, "request_too_large", {}, RegistryError),
        (422, "invalid_request", {"errors": [{"location": "a", "message": "b"}]}, InvalidRequestError),
        (428, "precondition_required", {}, RegistryError),
        (500, "internal_error", {}, UnknownProblemError),
    ],
)
async def test_a_refusal_is_raised_and_not_repeated(
    proxy: Proxy,
    registry: AsyncRegistryClient,
    status: int,
    code: str,
    fields: dict[str, object],
    error: type[RegistryError],
) -> None:
    proxy.when(CHANGE, API, problem(status, code, request_id="r-1", **fields))
    with pytest.raises(error) as refused:
        await registry.promote("fraud", 1)
    assert len(proxy.asked(CHANGE, API)) == 1
    assert refused.value.__notes__ == ["request_id r-1"]
    assert not isinstance(refused.value, UnreachableError)


@pytest.mark.parametrize(
    ("code", "error"),
    [("contention", ContentionError), ("outcome_unknown", OutcomeUnknownError), ("unavailable", UnavailableError)],
)
async def test_what_does_not_pass_is_the_registrys_own_error_in_the_end(
    proxy: Proxy, registry: AsyncRegistryClient, code: str, error: type[RegistryError]
) -> None:
    proxy.when("PUT", API, problem(503, code, model="fraud"))
    with pytest.raises(error):
        await registry.promote("fraud", 1)
    assert len(proxy.asked("PUT", API)) == 6


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (drops, "Server disconnected without sending a response"),
        (cuts(5), "peer closed connection"),
    ],
    ids=["lost", "cut"],
)
async def test_a_registry_that_stays_away_is_named_in_one_sentence(
    proxy: Proxy, registry: AsyncRegistryClient, fault: Fault, reason: str
) -> None:
    proxy.when("GET", API, fault)
    with pytest.raises(UnreachableError) as away:
        await registry.list_models()
    assert str(away.value).startswith(f"No answer from {proxy.url}: {reason}")
    assert "\n" not in str(away.value)
    assert len(proxy.asked("GET", API)) == 6


async def test_an_address_where_nobody_listens_is_named_in_one_sentence(slept: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with AsyncRegistryClient(url) as registry:
        with pytest.raises(UnreachableError) as away:
            await registry.list_models()
    assert str(away.value) == (
        f"No answer from {url}: All connection attempts failed. Check the address, and that the service runs."
    )
    assert len(slept) == 3


async def test_a_gateway_that_says_for_good_that_nobody_is_behind_it_is_unreachable(
    proxy: Proxy, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", API, answers(502, "<html></html>", content_type="text/html"))
    with pytest.raises(NotARegistryError, match="status 502 with text/html"):
        await registry.list_models()
    assert len(proxy.asked("GET", API)) == 6


async def test_a_registration_whose_every_first_reply_is_lost_makes_one_version(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write
) -> None:
    for path in (r"/versions$", r"^/local-store/", r"/complete$"):
        proxy.when("POST|PUT", path, loses_the_reply, times=1)
    version = await registry.register(model, write(1000))
    assert [each.version for each in await registry.list_versions(model)] == [version.version] == [1]
    begun = [json.loads(request.body) for request in proxy.asked("POST", r"/versions$")]
    assert begun[0] == begun[1]
