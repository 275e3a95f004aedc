"""Downloads while the table cannot be read: stale answers with their age, for a while; and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelkeep.settings import Settings
from tests.support.access import Clock, Secured, secured, token_for
from tests.support.api import Api, check_problem, serving, signed_until, when
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.aws import Fault, always, no_faults
from tests.support.faults.dynamodb_proxy import before_dynamodb
from tests.support.faults.outages import Outage, outages
from tests.support.servers import AwsServer

STALE = "x-registry-stale"


@pytest.fixture
def outage() -> Iterator[Outage]:
    with outages() as outage:
        yield outage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the caches of answers and callers."""
    clock = Clock()
    monkeypatch.setattr("modelkeep.services.reading.stale_cache.time", clock)
    monkeypatch.setattr("modelkeep.services.access.authenticator.time", clock)
    return clock


@pytest.fixture
async def one(api: Api, model: str) -> str:
    """A model whose first version is production, of two."""
    for _ in range(2):
        await api.register(model)
    await api.promote(model, 1)
    return model


@pytest.fixture
async def own(settings: Settings, outage: Outage) -> AsyncIterator[Api]:
    """A service whose caches are empty."""
    async with serving(settings) as own:
        yield own


async def get(api: Api, model: str, ref: str = "production", query: str = "", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.request("GET", f"/models/{model}/versions/{ref}/download{query}", headers=named)


async def counted(api: Api) -> float:
    text = (await api.http.get("/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "modelkeep_stale_responses_total"
    )


def without_urls(answer: httpx.Response) -> Any:
    body = answer.json()
    for artifact in body["artifacts"]:
        del artifact["url"], artifact["expires_at"]
    return body


async def test_a_download_is_answered_as_last_time_with_its_age(own: Api, one: str, outage: Outage) -> None:
    before = await get(own, one)
    assert STALE not in before.headers
    outage.begin()
    answer = await get(own, one)
    assert (answer.status_code, answer.headers["etag"]) == (200, before.headers["etag"])
    assert 0 <= int(answer.headers[STALE]) <= 60
    assert without_urls(answer) == without_urls(before)
    (artifact,) = answer.json()["artifacts"]
    assert (await own.send(artifact)).content == one.encode()
    assert await counted(own) == 1


async def test_every_format_and_redirect_is_served_stale(own: Api, one: str, outage: Outage) -> None:
    first = await get(own, one)
    etag, commit = first.headers["etag"], first.json()["commit"]
    outage.begin()
    for ref in ("production", commit):
        for query in ("", "?format=env", "?format=curl", "?format=sha256sum"):
            answer = await get(own, one, ref, query)
            assert (answer.status_code, STALE in answer.headers) == (200, True), (ref, query)
        known = await get(own, one, ref, if_none_match=etag)
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
        assert STALE in known.headers
        waited = await get(own, one, ref, "?wait=0.2", if_none_match=etag)
        assert (waited.status_code, STALE in waited.headers) == (304, True)
        redirect = await own.request("GET", f"/models/{one}/versions/{ref}/artifacts/model.pt")
        assert (redirect.status_code, STALE in redirect.headers) == (307, True)
        assert (await own.http.get(redirect.headers["location"])).content == one.encode()
        absent = await own.request("GET", f"/models/{one}/versions/{ref}/artifacts/absent")
        check_problem(absent, 404, "artifact_not_found")
    assert await counted(own) == 2 * 8


async def test_a_ref_that_was_never_resolved_is_unavailable(own: Api, one: str, outage: Outage) -> None:
    await get(own, one)
    outage.begin()
    for ref in ("latest", "staging", "1", "v1", "absent", "0" * 40):
        check_problem(await get(own, one, ref), 503, "unavailable")
    check_problem(await get(own, f"{one}-x"), 503, "unavailable")
    assert await counted(own) == 0


async def test_no_other_route_is_served_stale(own: Api, one: str, outage: Outage) -> None:
    """Neither other reads nor writes, though the process has answered them before."""
    await get(own, one)
    await own.ask("GET", f"/{one}/versions/production")
    await own.model(one)
    generation = await own.generation(one)
    outage.begin()
    for path in ("", f"/{one}", f"/{one}/versions", f"/{one}/versions/production", f"/{one}/events"):
        answer = await own.request("GET", f"/models{path}")
        check_problem(answer, 503, "unavailable")
        assert STALE not in answer.headers
    for method, path, body in [
        ("PUT", f"/{one}/versions/2/stage", {"stage": "production"}),
        ("PUT", f"/{one}/aliases/champion", {"version": 1}),
        ("DELETE", f"/{one}/versions/2", None),
        ("PATCH", f"/{one}", {"description": "x"}),
    ]:
        answer = await own.request(method, f"/models{path}", json=body)
        assert (answer.status_code, STALE in answer.headers) == (503, False), path
    outage.end()
    assert await own.generation(one) == generation


async def test_answers_are_fresh_at_once_when_the_table_is_back(own: Api, api: Api, one: str, outage: Outage) -> None:
    await get(own, one)
    outage.begin()
    assert STALE in (await get(own, one)).headers
    outage.end()
    await api.promote(one, 2)
    answer = await get(own, one)
    assert (answer.json()["version"], STALE in answer.headers) == (2, False)
    outage.begin()
    assert (await get(own, one)).json()["version"] == 2


async def test_an_answer_is_served_until_it_is_too_old(own: Api, one: str, outage: Outage, clock: Clock) -> None:
    await get(own, one)
    outage.begin()
    clock.now += 450.5
    assert (await get(own, one)).headers[STALE] == "450"
    clock.now += 449
    answer = await get(own, one)
    assert answer.headers[STALE] == "899"
    assert (await own.send(answer.json()["artifacts"][0])).status_code == 200
    clock.now += 0.5
    check_problem(await get(own, one), 503, "unavailable")
    assert await counted(own) == 2


async def test_urls_are_new_when_the_old_ones_are_half_way(
    own: Api, one: str, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (await get(own, one)).json()["artifacts"][0]
    outage.begin()
    ahead = 600

    class Later:
        time = staticmethod(lambda now=time.time: now() + ahead)

    monkeypatch.setattr("modelkeep.services.reading.presigned_urls.time", Later)
    await asyncio.sleep(1.1)
    second = (await get(own, one)).json()["artifacts"][0]
    assert second["url"] != first["url"]
    assert when(second["expires_at"]) > when(first["expires_at"])
    assert signed_until(second["url"]) >= when(second["expires_at"])
    assert (await own.send(second)).content == one.encode()


async def test_a_ttl_of_zero_serves_nothing_stale(settings: Settings, one: str, outage: Outage) -> None:
    async with serving(settings.model_copy(update={"stale_ttl_seconds": 0})) as strict:
        await get(strict, one)
        outage.begin()
        check_problem(await get(strict, one), 503, "unavailable")
        assert await counted(strict) == 0


# -- callers


@pytest.fixture
async def service(settings: Settings, outage: Outage) -> AsyncIterator[Secured]:
    async with secured(settings) as service:
        yield service


async def test_a_caller_known_lately_may_download_and_nothing_else(
    service: Secured, one: str, outage: Outage, clock: Clock
) -> None:
    reader, stranger = await service.who("reader"), await service.who("reader", models=["other"])
    unused = await service.who("reader")
    before = await get(reader, one)
    check_problem(await get(stranger, one), 404, "model_not_found")
    outage.begin()
    clock.now += 800
    for query in ("", "?format=env"):
        assert (await get(reader, one, query=query)).headers[STALE] == "800"
    assert (await get(reader, one, if_none_match=before.headers["etag"])).status_code == 304
    redirect = await reader.request("GET", f"/models/{one}/versions/production/artifacts/model.pt")
    assert (redirect.status_code, redirect.headers[STALE]) == (307, "800")
    check_problem(await get(stranger, one), 404, "model_not_found")
    check_problem(await get(unused, one), 503, "unavailable")
    check_problem(await get(service.anonymous, one), 401, "credentials_required")
    for path in (f"/{one}", f"/{one}/versions", f"/{one}/versions/production", f"/{one}/versions/download", ""):
        check_problem(await reader.request("GET", f"/models{path}"), 503, "unavailable")
    for path in ("download", "artifacts/model.pt"):
        head = await reader.request("HEAD", f"/models/{one}/versions/production/{path}")
        assert (head.status_code, head.headers[STALE]) == (200, "800")
    put = await reader.request("PUT", f"/models/{one}/versions/1/stage", json={"stage": "archived"})
    assert put.status_code == 503
    clock.now += 100
    check_problem(await get(reader, one), 503, "unavailable")
    outage.end()
    assert STALE not in (await get(reader, one)).headers


async def test_a_caller_known_too_long_ago_is_refused_though_the_answer_is_newer(
    service: Secured, one: str, outage: Outage, clock: Clock
) -> None:
    early, late = await service.who("reader"), await service.who("reader")
    await get(early, one)
    clock.now += 500
    await get(late, one)
    outage.begin()
    clock.now += 399
    assert (await get(early, one)).headers[STALE] == "399"
    clock.now += 1
    check_problem(await get(early, one), 503, "unavailable")
    assert (await get(late, one)).headers[STALE] == "400"


async def test_a_token_is_good_for_its_own_life_only(
    settings: Settings, service: Secured, one: str, outage: Outage, clock: Clock
) -> None:
    token = await token_for(settings, allow=["reader"], life=timedelta(seconds=100))
    other = await service.who("reader")
    bearer = service.bearer(token)
    assert (await get(bearer, one)).status_code == (await get(other, one)).status_code == 200
    outage.begin()
    clock.now += 98
    assert (await get(bearer, one)).headers[STALE] == "98"
    clock.now += 2.5
    check_problem(await get(bearer, one), 503, "unavailable")
    assert (await get(other, one)).headers[STALE] == "100"


async def test_a_token_found_revoked_stays_refused_when_the_table_goes_away(
    service: Secured, one: str, outage: Outage, clock: Clock
) -> None:
    admin = await service.who("admin")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    made = await admin.request(
        "POST",
        "/tokens",
        json={"principal": "ci", "allow": ["reader"], "models": ["*"], "expires_at": tomorrow},
    )
    assert made.status_code == 201, made.text
    bearer = service.bearer(made.json()["token"])
    assert (await get(bearer, one)).status_code == 200
    assert (await admin.request("DELETE", f"/tokens/{made.json()['id']}")).status_code == 204
    clock.now += 20
    check_problem(await get(bearer, one), 401, "invalid_token")
    outage.begin()
    check_problem(await get(bearer, one), 401, "invalid_token")
    clock.now += 20
    check_problem(await get(bearer, one), 503, "unavailable")


async def test_a_known_caller_waits_four_seconds_for_a_table_that_hangs(
    service: Secured, one: str, outage: Outage, clock: Clock
) -> None:
    reader = await service.who("reader")
    await get(reader, one)
    clock.now += 20
    outage.begin(hangs=True)
    began = time.monotonic()
    answer = await get(reader, one)
    assert (answer.status_code, answer.headers[STALE]) == (200, "20")
    assert 3.8 < time.monotonic() - began < 20


# -- DynamoDB, behind a line that is cut


SELDOM = [pytest.param(fault, marks=pytest.mark.thorough) for fault in (Fault.RESET, Fault.ERROR_500, Fault.THROTTLED)]


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.HANGING, *SELDOM])
async def test_downloads_survive_a_cut_connection_to_dynamodb(ministack: AwsServer, model: str, fault: Fault) -> None:
    async with before_dynamodb(ministack.endpoint) as proxy:
        variables = aws_environment(ministack) | {"AWS_ENDPOINT_URL_DYNAMODB": proxy.endpoint}
        with environment(variables) as settings:
            await prepare(settings)
            async with serving(settings) as api:
                for _ in range(2):
                    await api.register(model)
                await api.promote(model, 1)
                before = await get(api, model)
                proxy.plan = always(fault)
                began = time.monotonic()
                answer = await get(api, model)
                assert time.monotonic() - began < 8, "three attempts of three seconds each"
                assert (answer.status_code, without_urls(answer)) == (200, without_urls(before))
                assert STALE in answer.headers
                assert (await api.send(answer.json()["artifacts"][0])).content == model.encode()
                assert await counted(api) == 1
                proxy.plan = no_faults
                await api.promote(model, 2)
                answer = await get(api, model)
                assert (answer.json()["version"], STALE in answer.headers) == (2, False)
