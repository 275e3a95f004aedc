"""Rate limits: requests of a principal, and failed logins of an address."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager

from modelkeep.admin import access
from modelkeep.http.middleware import rate_limits
from modelkeep.main import create_app
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access import authenticator
from modelkeep.settings import Settings
from tests.support.access import Clock, token_for
from tests.support.api import BASE, Api, check_problem
from tests.support.builders import credential

HERE, THERE = "192.0.2.1", "192.0.2.2"
SECONDS = 2

At = Callable[..., Api]
Open = Callable[..., Awaitable[At]]


@pytest.fixture
async def opened(api: Api, settings: Settings) -> AsyncIterator[Open]:
    """Opens a service with limits; it answers who its callers are, each at an address."""
    async with AsyncExitStack() as stack:

        async def open_service(**limits: Any) -> At:
            own = settings.model_copy(update={"auth": None, **limits})
            manager = await stack.enter_async_context(LifespanManager(create_app(own)))

            def at(address: str, *, token: str | None = None) -> Api:
                transport = httpx.ASGITransport(manager.app, client=(address, 50000))
                return Api(httpx.AsyncClient(base_url=BASE, transport=transport), token=token)

            return at

        yield open_service


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "REQUESTS_SECONDS", SECONDS)
    monkeypatch.setattr(rate_limits, "FAILURES_SECONDS", SECONDS)


async def status(api: Api) -> int:
    return (await api.request("GET", "/models")).status_code


async def fail(api: Api, times: int) -> None:
    for _ in range(times):
        check_problem(await api.request("GET", "/models"), 401, "invalid_token")


async def check_too_many(api: Api, what: str, longest: int) -> None:
    answer = await api.request("GET", "/models")
    problem = check_problem(answer, 429, "too_many_requests")
    assert problem["what"] == what
    assert 1 <= problem["seconds"] <= longest
    assert answer.headers["retry-after"] == str(problem["seconds"])


async def test_a_principal_is_limited_and_others_are_not_affected(opened: Open, settings: Settings) -> None:
    at = await opened(requests_per_10_seconds=3)
    tokens = [await token_for(settings, allow=["reader"], principal=name) for name in ("busy", "busy", "quiet")]
    busy, also_busy, quiet = (at(HERE, token=token) for token in tokens)
    assert [await status(busy), await status(also_busy), await status(busy)] == [200, 200, 200]
    for api in (busy, also_busy, at(THERE, token=tokens[0])):
        await check_too_many(api, "requests", rate_limits.REQUESTS_SECONDS)
    assert [await status(quiet) for _ in range(3)] == [200, 200, 200]
    assert await status(at(HERE)) == 401


async def test_refused_requests_count_too(opened: Open, settings: Settings) -> None:
    at = await opened(requests_per_10_seconds=2)
    reader = at(HERE, token=await token_for(settings, allow=["reader"], principal="denied"))
    for _ in range(2):
        check_problem(await reader.request("GET", "/tokens"), 403, "action_forbidden")
    await check_too_many(reader, "requests", rate_limits.REQUESTS_SECONDS)


async def test_a_limit_ends_with_its_window(opened: Open, settings: Settings, short: None) -> None:
    at = await opened(requests_per_10_seconds=1, failed_logins_per_minute=1)
    known = at(HERE, token=await token_for(settings, allow=["reader"], principal="patient"))
    assert await status(known) == 200
    await check_too_many(known, "requests", SECONDS)
    stranger = at(THERE, token=credential().text)
    await fail(stranger, 1)
    await check_too_many(stranger, "failed logins from your address", SECONDS)
    await asyncio.sleep(SECONDS)
    assert await status(known) == 200
    await fail(stranger, 1)


@pytest.mark.parametrize(
    ("guilty", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        ("2001:DB8:1:2::1", "2001:0db8:0001:0002::2", "2001:db8:1:1:ffff::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::1"),
        ("fe80::1%eth0", "fe80::2", "fe81::1"),
        ("unknown", "unknown", "else"),
    ],
)
async def test_failed_logins_of_an_address_are_limited_and_nothing_else_from_there(
    opened: Open, settings: Settings, guilty: str, same: str, other: str
) -> None:
    at = await opened(failed_logins_per_minute=3)
    good, bad = await token_for(settings, allow=["reader"], principal="honest"), credential().text
    await fail(at(guilty, token=bad), 3)
    for address in (guilty, same):
        await check_too_many(at(address, token=bad), "failed logins from your address", rate_limits.FAILURES_SECONDS)
    assert [await status(at(address, token=good)) for address in (guilty, same, other)] == [200, 200, 200]
    await fail(at(other, token=bad), 1)


async def test_good_tokens_pass_whatever_fails_at_their_address(
    opened: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one address are all pods of a cluster, or all callers of a balancer."""
    monkeypatch.setattr(authenticator, "CACHE_TTL_SECONDS", 0)
    at = await opened()
    good = [await token_for(settings, allow=["reader"], principal=f"pod-{number}") for number in range(3)]
    answers = []
    for number in range(60):
        answers.append(await status(at(HERE, token=credential().text)))
        assert await status(at(HERE, token=good[number % 3])) == 200
    assert answers == [401] * 30 + [429] * 30


async def test_a_step_of_the_clock_does_not_extend_a_window(
    opened: Open, settings: Settings, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = await opened(requests_per_10_seconds=1, failed_logins_per_minute=1)
    known = at(HERE, token=await token_for(settings, allow=["reader"], principal="known"))
    stranger, now = at(HERE, token=credential().text), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    assert await status(known) == 200
    await fail(stranger, 1)
    monkeypatch.setattr(time, "time", now)
    await check_too_many(known, "requests", SECONDS)
    await check_too_many(stranger, "failed logins from your address", SECONDS)
    await asyncio.sleep(SECONDS)
    assert await status(known) == 200
    await fail(stranger, 1)


async def test_a_token_that_is_unknown_or_revoked_costs_one_read_in_a_while(
    opened: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = await opened(failed_logins_per_minute=10**6)
    text = await token_for(settings, allow=["reader"], principal="dismissed")
    await access.revoke_token(settings, text.split("_")[1])
    found, reads, clock = Tokens.find, [], Clock()

    async def find(self: Tokens, token_id: str) -> Any:
        reads.append(token_id)
        return await found(self, token_id)

    monkeypatch.setattr(Tokens, "find", find)
    monkeypatch.setattr(authenticator, "time", clock)
    for token in (credential().text, text):
        await fail(at(HERE, token=token), 20)
        assert len(reads) == 1
        clock.now += authenticator.CACHE_TTL_SECONDS
        await fail(at(HERE, token=token), 20)
        assert len(reads) == 2
        reads.clear()


def ignored(capsys: pytest.CaptureFixture[str]) -> int:
    return capsys.readouterr().err.count("forwarded_for_ignored")


async def test_a_proxy_that_is_not_trusted_is_named_once(
    opened: Open, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    trusting = await opened(trusted_proxies=(ip_network("10.0.0.0/8"),))
    await trusting(HERE, token=credential().text).request("GET", "/models", headers=forwarded)
    at = await opened()
    await fail(at(HERE, token=credential().text), 1)
    assert ignored(capsys) == 0
    for token in (credential().text, await token_for(settings, allow=["reader"]), credential().text):
        await at(HERE, token=token).request("GET", "/models", headers=forwarded)
    assert ignored(capsys) == 1


async def test_a_cached_caller_is_not_blocked_by_others_at_its_address(opened: Open, settings: Settings) -> None:
    at = await opened(failed_logins_per_minute=1)
    known = at(HERE, token=await token_for(settings, allow=["reader"], principal="known"))
    assert await status(known) == 200
    await fail(at(HERE, token=credential().text), 1)
    assert [await status(known) for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer mr_", "Bearer a.b.c"])
async def test_every_kind_of_failed_login_counts_but_missing_credentials_do_not(opened: Open, header: str) -> None:
    at = await opened(failed_logins_per_minute=2)
    anonymous = at(HERE)
    for _ in range(5):
        assert await status(anonymous) == 401
    answers = [await anonymous.request("GET", "/models", headers={"authorization": header}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_good_credentials_are_no_failures(opened: Open, settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(authenticator, "CACHE_TTL_SECONDS", 0)
    at = await opened(failed_logins_per_minute=1)
    known = at(HERE, token=await token_for(settings, allow=["reader"], principal="known"))
    assert [await status(known) for _ in range(5)] == [200] * 5


async def test_anonymous_requests_are_not_limited(opened: Open) -> None:
    at = await opened(auth="none", requests_per_10_seconds=1, failed_logins_per_minute=1)
    assert [await status(at(HERE)) for _ in range(5)] == [200] * 5


async def test_public_routes_stay_public_after_failed_logins(opened: Open) -> None:
    at = await opened(failed_logins_per_minute=1)
    await fail(at(HERE, token=credential().text), 1)
    answer = await at(HERE, token=credential().text).http.get("/healthz", headers={"authorization": "Bearer x"})
    assert answer.status_code == 200
