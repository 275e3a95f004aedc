"""Registry tokens over HTTP: which callers make them, with which grants, and until when they are valid."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.domain.access.tokens import ApiTokenSecret, parse_secret
from modelkeep.domain.errors import OutcomeUnknownError, UnavailableError
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access import authenticator, trust
from modelkeep.settings import Settings
from modelkeep.storage.table import PARTITION, SORT, ItemKey
from tests.support.access import Clock, Secured, secured, token_for
from tests.support.api import Api, check_problem, when
from tests.support.builders import credential

YEAR = timedelta(days=366)


@pytest.fixture(scope="module")
async def service(api: Api, settings: Settings) -> AsyncIterator[Secured]:
    async with secured(settings.model_copy(update={"failed_logins_per_minute": 10**6})) as service:
        yield service


@pytest.fixture
async def admin(service: Secured) -> Api:
    return await service.who("admin", principal="root")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("modelkeep.services.access.authenticator.time", clock)
    return clock


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that the table was asked for."""
    seen: list[str] = []
    find = Tokens.find

    async def found(tokens: Tokens, token_id: str) -> Any:
        seen.append(token_id)
        return await find(tokens, token_id)

    monkeypatch.setattr(Tokens, "find", found)
    return seen


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def wanted(**fields: Any) -> dict[str, Any]:
    """What is sent to make a token."""
    return {"principal": "ci", "allow": ["reader"], "models": ["*"], "expires_at": in_days(30), **fields}


async def make(api: Api, **fields: Any) -> Any:
    answer = await api.request("POST", "/tokens", json=wanted(**fields))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def admits(api: Api) -> bool:
    answer = await api.request("GET", "/models")
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code == 200


async def listed(admin: Api, *, limit: int = 100) -> list[Any]:
    found: list[Any] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = (await admin.request("GET", "/tokens", params=query)).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def entry(admin: Api, token_id: str) -> Any:
    return next(token for token in await listed(admin) if token["id"] == token_id)


def other_secret(text: str) -> str:
    """The token of the same id with another secret, well formed."""
    shown = parse_secret(text)
    assert shown
    return ApiTokenSecret(shown.id, shown.secret[::-1]).text


# making, listing, revoking


async def test_a_token_is_shown_once_and_does_what_it_was_made_for(service: Secured, admin: Api, model: str) -> None:
    before = datetime.now(UTC)
    made = await make(admin, principal="train", allow=["publisher"], deny=["version.edit"], models=[model])
    assert parse_secret(made["token"])
    assert before <= when(made["created_at"]) <= datetime.now(UTC)
    assert (made["principal"], made["created_by"], made["revoked_at"]) == ("train", "root", None)
    assert made["grants"] == [
        {"allow": ["publisher"], "deny": [], "models": [model]},
        {"allow": [], "deny": ["version.edit"], "models": [model]},
    ]
    kept = await entry(admin, made["id"])
    assert kept == {name: value for name, value in made.items() if name != "token"}

    train = service.bearer(made["token"])
    await train.register(model)
    edit = {"description": "edited"}
    await train.problem("PATCH", f"/{model}/versions/1", edit, status=403, code="action_forbidden")
    assert {event["rule"] for event in await train.events(model)} == {f"token:{made['id']}"}


@pytest.mark.parametrize("days", [1 / 24, 365, 366])
async def test_a_token_lives_a_year_at_most(admin: Api, days: float) -> None:
    until = in_days(days - 1 / 24 / 60)
    assert when((await make(admin, expires_at=until))["expires_at"]) == datetime.fromisoformat(until)


@pytest.mark.parametrize(
    ("fields", "location"),
    [
        ({"expires_at": in_days(367)}, "body.expires_at"),
        ({"expires_at": in_days(-1)}, "body.expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "body.expires_at"),
        ({"expires_at": "2026-12-01T00:00:00"}, "body.expires_at"),
        ({"expires_at": None}, "body.expires_at"),
        ({"expires_at": "soon"}, "body.expires_at"),
        ({"principal": "github:repo:acme/fraud"}, "body.principal"),
        ({"principal": ""}, "body.principal"),
        ({"principal": "two\nlines"}, "body.principal"),
        ({"principal": "a" * 129}, "body.principal"),
        ({"allow": ["owner"]}, "body"),
        ({"allow": []}, "body"),
        ({"allow": ["model.read "]}, "body"),
        ({"allow": "reader"}, "body.allow"),
        ({"models": []}, "body.models"),
        ({"models": ["$head#*"]}, "body"),
        ({"models": ["a" * 97]}, "body"),
        ({"models": ["*"] * 65}, "body.models"),
        ({"id": "x"}, "body.id"),
        ({"rules": ["ci"]}, "body.rules"),
        ({"digest": "00"}, "body.digest"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
async def test_a_token_that_cannot_be_is_not_made(admin: Api, fields: dict[str, Any], location: str) -> None:
    count = len(await listed(admin))
    problem = check_problem(await admin.request("POST", "/tokens", json=wanted(**fields)), 422, "invalid_request")
    assert problem["errors"][0]["location"] == location
    assert len(await listed(admin)) == count


@pytest.mark.parametrize("missing", ["principal", "expires_at", "models", "allow"])
async def test_a_token_needs_a_name_an_end_and_grants(admin: Api, missing: str) -> None:
    body = wanted()
    del body[missing]
    check_problem(await admin.request("POST", "/tokens", json=body), 422, "invalid_request")


@pytest.mark.parametrize(
    ("allow", "models"),
    [(["reader"], ["*"]), (["publisher", "promoter"], ["*"]), (["admin"], ["fraud-*"]), (["token.admin"], ["*-x"])],
    ids=str,
)
async def test_only_an_administrator_of_all_models_administers_tokens(
    service: Secured, allow: list[str], models: list[str]
) -> None:
    caller = await service.who(*allow, models=models)
    for method, path in [("POST", "/tokens"), ("GET", "/tokens"), ("DELETE", f"/tokens/{credential().id}")]:
        answer = await caller.request(method, path, json=wanted() if method == "POST" else None)
        assert check_problem(answer, 403, "action_forbidden")["action"] == "token.admin"


async def test_a_denied_administrator_is_none(service: Secured) -> None:
    caller = await service.who("admin", deny=["token.admin"])
    check_problem(await caller.request("GET", "/tokens"), 403, "action_forbidden")


async def test_an_administrator_delegates_its_grants_and_its_denials(service: Secured, model: str) -> None:
    giver = await service.who("token.admin", "reader", "version.delete", deny=["version.delete"], models=["*"])
    answer = await giver.request("POST", "/tokens", json=wanted(allow=["publisher"]))
    problem = check_problem(answer, 422, "invalid_request")
    assert problem["errors"] == [
        {"location": "body.allow", "message": "stage.set:staging on '*' is not yours to give"},
    ]
    made = await make(giver, allow=["reader", "version.delete"], models=[model])
    assert made["grants"][-1] == {"allow": [], "deny": ["version.delete"], "models": ["*"]}
    await (await service.who("publisher")).register(model)
    given = service.bearer(made["token"])
    await given.problem("DELETE", f"/{model}/versions/1", status=403, code="action_forbidden")
    assert await given.model(model)


async def test_an_administrator_may_deny_what_it_has_not(service: Secured) -> None:
    giver = await service.who("token.admin", "reader")
    made = await make(giver, allow=["reader"], deny=["version.delete"])
    assert made["grants"][1] == {"allow": [], "deny": ["version.delete"], "models": ["*"]}


async def test_tokens_are_listed_in_pages(admin: Api) -> None:
    made = {(await make(admin))["id"] for _ in range(3)}
    ids = [token["id"] for token in await listed(admin, limit=2)]
    assert ids == sorted(set(ids))
    assert made <= set(ids)
    check_problem(await admin.request("GET", "/tokens", params={"cursor": "nonsense"}), 400, "invalid_cursor")


async def test_a_repeated_revocation_changes_nothing(admin: Api) -> None:
    made = await make(admin)
    assert (await admin.request("DELETE", f"/tokens/{made['id']}")).status_code == 204
    revoked = await entry(admin, made["id"])
    assert when(made["created_at"]) <= when(revoked["revoked_at"]) <= datetime.now(UTC)
    assert (await admin.request("DELETE", f"/tokens/{made['id']}")).status_code == 204
    assert await entry(admin, made["id"]) == revoked


async def test_an_absent_token_cannot_be_revoked(admin: Api) -> None:
    check_problem(await admin.request("DELETE", f"/tokens/{credential().id}"), 404, "token_not_found")
    check_problem(await admin.request("DELETE", "/tokens/$access"), 422, "invalid_request")


async def test_a_token_revokes_itself(service: Secured, admin: Api, clock: Clock) -> None:
    made = await make(admin, allow=["token.admin"])
    own = service.bearer(made["token"])
    assert (await own.request("DELETE", f"/tokens/{made['id']}")).status_code == 204
    clock.now += authenticator.CACHE_TTL_SECONDS
    check_problem(await own.request("GET", "/tokens"), 401, "invalid_token")


# until when


def test_what_is_known_of_tokens_and_rules_is_together_at_most_30_seconds_old() -> None:
    assert authenticator.CACHE_TTL_SECONDS + trust.CACHE_TTL_SECONDS <= 30


async def test_a_revoked_token_stops_in_every_service(service: Secured, settings: Settings, admin: Api) -> None:
    with pytest.MonkeyPatch.context() as patched:
        clock = Clock()
        patched.setattr("modelkeep.services.access.authenticator.time", clock)
        async with secured(settings) as second:
            text = (await make(admin))["token"]
            clients = [service.bearer(text), second.bearer(text)]
            assert [await admits(client) for client in clients] == [True, True]
            await second.bearer(await token_for(settings, allow=["admin"])).request("DELETE", f"/tokens/{text[3:14]}")
            clock.now += authenticator.CACHE_TTL_SECONDS - 0.1
            assert [await admits(client) for client in clients] == [True, True]
            clock.now += 0.1
            assert [await admits(client) for client in clients] == [False, False]


async def test_the_cache_time_counts_from_before_the_token_was_read(
    service: Secured, admin: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that takes long to answer makes nothing known any longer."""
    made = await make(admin)
    find = Tokens.find

    async def find_slowly(tokens: Tokens, token_id: str) -> Any:
        found = await find(tokens, token_id)
        clock.now += authenticator.CACHE_TTL_SECONDS
        return found

    client = service.bearer(made["token"])
    with pytest.MonkeyPatch.context() as slow:
        slow.setattr(Tokens, "find", find_slowly)
        assert await admits(client)
    await admin.request("DELETE", f"/tokens/{made['id']}")
    assert not await admits(client)


async def test_a_token_is_not_remembered_beyond_its_end(service: Secured) -> None:
    text = await token_for(service.settings, allow=["reader"], life=timedelta(seconds=2))
    client = service.bearer(text)
    assert await admits(client)
    made = datetime.now(UTC)
    while await admits(client):
        assert datetime.now(UTC) < made + timedelta(seconds=20)
        await asyncio.sleep(0.05)
    problem = check_problem(await client.request("GET", "/models"), 401, "token_expired")
    assert when(problem["expired_at"]) <= datetime.now(UTC)


async def test_a_new_token_takes_over_from_an_old_one(service: Secured, admin: Api, clock: Clock, model: str) -> None:
    """Both live at once under one name, so an Idempotency-Key of the old one is known to the new one."""
    old, new = [await make(admin, principal="train", allow=["publisher"]) for _ in range(2)]
    first, second = service.bearer(old["token"]), service.bearer(new["token"])
    begun = await first.begin(model, {"model.pt": b"weights"}, key="run-1")
    assert (await second.begin(model, {"model.pt": b"weights"}, key="run-1"))["version"] == begun["version"]
    await admin.request("DELETE", f"/tokens/{old['id']}")
    clock.now += authenticator.CACHE_TTL_SECONDS
    assert [await admits(first), await admits(second)] == [False, True]


# what is refused


async def test_every_unknown_token_is_refused_alike(service: Secured, admin: Api, reads: list[str]) -> None:
    made = await make(admin)
    gone = await make(admin)
    await admin.request("DELETE", f"/tokens/{gone['id']}")
    bad = [credential().text, other_secret(made["token"]), gone["token"], other_secret(gone["token"])]
    answers = [await service.bearer(text).request("GET", "/models") for text in bad]
    problems = [check_problem(answer, 401, "invalid_token") for answer in answers]
    assert len({problem["detail"] for problem in problems}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="modelkeep", error="invalid_token"'
    }
    assert len(reads) >= len(bad)


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1] + "g", lambda text: text[:-9], lambda text: text[:20] + text[21:]]
)
async def test_a_mistyped_token_costs_no_table_lookup(
    service: Secured, admin: Api, reads: list[str], change: Any
) -> None:
    text = change((await make(admin))["token"])
    reads.clear()
    problem = check_problem(await service.bearer(text).request("GET", "/models"), 401, "invalid_token")
    assert "Check that it is whole" in problem["detail"]
    assert reads == []


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {}  "])
async def test_the_scheme_is_written_in_any_way(service: Secured, admin: Api, form: str, reads: list[str]) -> None:
    text = (await make(admin))["token"]
    reads.clear()
    for header in (form.format(text), f"Bearer {text}"):
        answer = await service.anonymous.http.get("/v1/models", headers={"authorization": header})
        assert answer.status_code == 200
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "credentials_required"),
        ("Bearer", "credentials_required"),
        ("Bearer ", "credentials_required"),
        ("{}", "credentials_required"),
        ("Basic dXNlcjpwYXNz", "credentials_required"),
        ("Token {}", "credentials_required"),
        ("Bearer{}", "credentials_required"),
        ("Bearer\t{}", "credentials_required"),
        ("Bearer {0} {0}", "invalid_token"),
        ("Bearer {0}, Bearer {0}", "invalid_token"),
        ("Bearer {}é", "invalid_token"),
        ("Bearer é", "invalid_token"),
        ('Bearer "{}"', "invalid_token"),
        ("Bearer null", "invalid_token"),
        ("Bearer " + "x" * 100_000, "invalid_token"),
        ("Bearer " + "x." * 50_000, "invalid_token"),
        ("Bearer " + " " * 100_000, "credentials_required"),
    ],
    ids=lambda value: value[:20],
)
async def test_a_header_of_another_form_does_not_authenticate(
    service: Secured, admin: Api, header: str, code: str
) -> None:
    value = header.format((await make(admin))["token"]).encode("latin-1")
    answer = await service.anonymous.http.get("/v1/models", headers=[(b"authorization", value)])
    check_problem(answer, 401, code)


async def test_two_headers_do_not_authenticate_in_either_order(service: Secured, admin: Api) -> None:
    good = f"Bearer {(await make(admin))['token']}"
    for pair in [(good, "Bearer x"), ("Bearer x", good), (good, good), ("", good), (good, "")]:
        headers = [("authorization", value) for value in pair]
        answer = await service.anonymous.http.get("/v1/models", headers=headers)
        assert check_problem(answer, 401, answer.json()["code"])["code"] in {"invalid_token", "credentials_required"}


async def test_with_anonymous_access_a_registry_token_still_binds(api: Api, settings: Settings) -> None:
    reader = Api(api.http, token=await token_for(settings, allow=["reader"]))
    assert (await api.request("GET", "/tokens")).status_code == 200
    check_problem(await reader.request("GET", "/tokens"), 403, "action_forbidden")
    check_problem(await Api(api.http, token=credential().text).request("GET", "/models"), 401, "invalid_token")


# the table


async def all_items(settings: Settings) -> list[str]:
    """Everything that the table holds, as text."""
    found: list[str] = []
    after, more = None, True
    async with open_storage(settings) as (table, _):
        while more:
            page = await table.scan(after=after, limit=500)
            for item in page.items:
                found.append(json.dumps(item, default=str))
                after = ItemKey(item[PARTITION], int(item[SORT]))
            more = page.more
    return found


@contextmanager
def failing(name: str, error: Exception) -> Iterator[None]:
    async def fail(*_: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Tokens, name, fail)
        yield


async def test_a_table_that_is_away_is_no_reason_to_call_a_token_bad(service: Secured, admin: Api) -> None:
    known, new = [service.bearer((await make(admin))["token"]) for _ in range(2)]
    assert await admits(known)
    with failing("find", UnavailableError("The table is away.")):
        check_problem(await new.request("GET", "/models"), 503, "unavailable")
        assert await admits(known)
    assert await admits(new)


@pytest.mark.parametrize("error", [UnavailableError("The table is away."), OutcomeUnknownError("token")], ids=str)
async def test_a_last_use_that_cannot_be_written_does_not_refuse_the_token(
    service: Secured, admin: Api, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    made = await make(admin)
    with failing("replace", error):
        assert await admits(service.bearer(made["token"]))
    (line,) = [line for line in caplog.messages if "token_last_used_update_failed" in line]
    assert made["id"] in line
    assert made["token"] not in caplog.text
    assert (await entry(admin, made["id"]))["last_used_at"] is None


async def test_no_request_waits_for_the_last_use_to_be_written(
    service: Secured, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    made = await make(admin)
    monkeypatch.setattr(authenticator, "LAST_USED_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(Tokens, "replace", hang)
    assert await asyncio.wait_for(admits(service.bearer(made["token"])), 10)


async def test_the_last_use_is_written_once_an_hour(
    service: Secured, admin: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace = Tokens.replace

    async def replaced(tokens: Tokens, token: Any) -> bool:
        written.append(token.id)
        return await replace(tokens, token)

    monkeypatch.setattr(Tokens, "replace", replaced)
    made = await make(admin)
    assert made["last_used_at"] is None
    client, before = service.bearer(made["token"]), datetime.now(UTC)
    for _ in range(3):
        assert await admits(client)
        clock.now += authenticator.CACHE_TTL_SECONDS
    used = when((await entry(admin, made["id"]))["last_used_at"])
    assert before <= used <= datetime.now(UTC)
    assert written.count(made["id"]) == 1
    assert timedelta(hours=1) == authenticator.LAST_USED_INTERVAL
    monkeypatch.setattr(authenticator, "LAST_USED_INTERVAL", timedelta(0))
    assert await admits(client)
    assert when((await entry(admin, made["id"]))["last_used_at"]) > used


async def test_the_table_holds_no_secret(service: Secured, admin: Api) -> None:
    made = [await make(admin) for _ in range(3)]
    assert await admits(service.bearer(made[0]["token"]))
    items = await all_items(service.settings)
    for shown in (parse_secret(token["token"]) for token in made):
        assert shown
        assert [item for item in items if shown.id in item]
        assert not [item for item in items if shown.secret in item]


async def test_the_cache_of_credentials_is_bounded(
    settings: Settings, admin: Api, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "CACHE_SIZE", 3)
    made = [await make(admin) for _ in range(5)]
    async with secured(settings) as service:
        for token in made:
            assert await admits(service.bearer(token["token"]))
        reads.clear()
        for token in reversed(made[2:]):
            assert await admits(service.bearer(token["token"]))
        assert reads == []
        assert await admits(service.bearer(made[0]["token"]))
        assert reads == [made[0]["id"]]


async def test_refused_credentials_are_not_cached(service: Secured, admin: Api, reads: list[str]) -> None:
    text = other_secret((await make(admin))["token"])
    reads.clear()
    for _ in range(3):
        check_problem(await service.bearer(text).request("GET", "/models"), 401, "invalid_token")
    assert len(reads) == 3
