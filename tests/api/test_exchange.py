"""Who comes by a trust rule: with an issuer's token itself, or with a registry token got in exchange for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import CapturingLogger

from modelkeep.admin import access
from modelkeep.bootstrap import open_storage
from modelkeep.domain.access.tokens import parse_secret
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.domain.values import UNSET
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.schemas import access_file
from modelkeep.services.access import authenticator, trust
from modelkeep.settings import Settings
from tests.support.access import Clock, Secured, secured, token_for
from tests.support.api import Api, check_problem
from tests.support.backends import prepare
from tests.support.builders import NOW
from tests.support.issuers import AUDIENCE, SECOND_AUDIENCE, IssuerServer, issuer_server

REPOSITORY = "740216803"
SUBJECT = "repo:acme@9919/fraud@740216803:environment:production"

Rule = dict[str, Any]


@pytest.fixture(scope="module")
def github() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of both caches."""
    clock = Clock()
    monkeypatch.setattr("modelkeep.services.access.authenticator.time", clock)
    monkeypatch.setattr("modelkeep.services.access.trust.time", clock)
    return clock


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged of trust rules."""
    logger = CapturingLogger()
    monkeypatch.setattr(trust, "_log", logger)
    return logger


@pytest.fixture
async def services(settings: Settings, tmp_path: Path, clock: Clock) -> AsyncIterator["Services"]:
    async with AsyncExitStack() as stack:
        name = f"exchange-{uuid4().hex[:12]}"
        own = settings.model_copy(update={"data_dir": tmp_path / "data", "table": name, "bucket": name})
        await prepare(own)
        yield Services(own, tmp_path, stack)


class Services:
    """A registry of this test's own, in which its operator does what operators do."""

    def __init__(self, settings: Settings, folder: Path, stack: AsyncExitStack) -> None:
        self.settings = settings
        self._folder = folder
        self._stack = stack

    async def serve(self, **file: Any) -> Secured:
        """A service; with a document, one that has it as its file."""
        path = self.write(**file) if file else None
        own = self.settings.model_copy(update={"access_file": path, "failed_logins_per_minute": 10**6})
        return await self._stack.enter_async_context(secured(own))

    def write(self, **document: Any) -> Path:
        path = self._folder / f"{uuid4().hex}.json"
        path.write_text(json.dumps(document))
        return path

    async def set_rules(self, **document: Any) -> None:
        """What `modelkeep access set` does."""
        await access.set_rules(self.settings, access_file.load(self.write(**document)))

    async def put_text(self, text: str) -> None:
        """Write what `access set` would refuse."""
        async with open_storage(self.settings) as (table, _):
            documents = TrustDocuments(table)
            before = await documents.find()
            await documents.replace(text, revision=before.revision if before else 0, now=NOW)


def rule(identifier: str = "ci", **fields: Any) -> Rule:
    return {"id": identifier, "issuer": "github", "match": {"repository_id": REPOSITORY}, "allow": ["admin"], **fields}


def trusting(server: IssuerServer, *rules: Rule, name: str = "github") -> dict[str, Any]:
    entry = {
        "kind": server.kind.value,
        "url": server.url,
        "audience": [AUDIENCE, SECOND_AUDIENCE],
        "algorithms": list(server.issuer.algorithms),
    }
    return {"issuers": {name: entry}, "rules": list(rules)}


async def exchange(api: Api) -> Any:
    answer = await api.request("POST", "/auth/token")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def status(api: Api) -> tuple[int, str | None]:
    answer = await api.request("GET", "/models")
    return answer.status_code, answer.json().get("code")


NOBODY, IN = (403, "no_trust_rule"), (200, None)


@pytest.mark.parametrize("kind", IssuerKind)
async def test_a_job_of_any_issuer_registers_with_its_own_token_or_an_exchanged_one(
    services: Services, model: str, kind: IssuerKind
) -> None:
    with issuer_server(kind) as server:
        sub = server.claims()["sub"]
        by_sub = rule("train", issuer=kind.value, match={"sub": sub}, allow=["publisher"], models=[model])
        service = await services.serve(**trusting(server, by_sub, name=kind.value))
        direct = service.bearer(server.token())
        got = await exchange(direct)
        assert (got["token_type"], got["expires_in"], got["principal"]) == ("Bearer", 900, f"{kind.value}:{sub}")
        exchanged = service.bearer(got["access_token"])
        for number, job in enumerate((direct, exchanged), start=1):
            assert await job.register(model) == number
            answer = await job.request("PUT", f"/models/{model}/versions/1/stage", json={"stage": "production"})
            check_problem(answer, 403, "action_forbidden")
        events = await direct.events(model)
        assert {(event["actor"], event["rule"]) for event in events} == {(f"{kind.value}:{sub}", "train")}
        assert server.asked() == 1


async def test_an_exchanged_token_ends_after_15_minutes_and_is_nobodys_to_manage(
    services: Services, github: IssuerServer
) -> None:
    service = await services.serve(**trusting(github, rule()))
    got = await exchange(service.bearer(github.token()))
    shown = parse_secret(got["access_token"])
    assert shown
    async with open_storage(services.settings) as (table, _):
        kept = await Tokens(table).find(shown.id)
    assert kept
    assert kept.expires_at - kept.created_at == timedelta(minutes=15)
    assert (kept.grants, kept.rules, kept.principal) == ((), ("ci",), f"github:{SUBJECT}")
    admin = service.bearer(github.token())
    assert (await admin.request("GET", "/tokens")).json()["items"] == []
    assert await status(service.bearer(got["access_token"])) == IN


async def test_an_exchanged_token_can_be_revoked_by_its_id(
    services: Services, github: IssuerServer, clock: Clock
) -> None:
    service = await services.serve(**trusting(github, rule()))
    admin = service.bearer(github.token())
    text = (await exchange(admin))["access_token"]
    assert await status(service.bearer(text)) == IN
    assert (await admin.request("DELETE", f"/tokens/{text[3:14]}")).status_code == 204
    clock.now += authenticator.CACHE_TTL_SECONDS
    assert await status(service.bearer(text)) == (401, "invalid_token")


async def test_only_an_issuers_token_is_exchanged(services: Services, github: IssuerServer) -> None:
    service = await services.serve(**trusting(github, rule()))
    exchanged = (await exchange(service.bearer(github.token())))["access_token"]
    for text in (exchanged, await token_for(services.settings, allow=["admin"])):
        problem = check_problem(await service.bearer(text).request("POST", "/auth/token"), 422, "invalid_request")
        assert problem["errors"][0]["location"] == "header.Authorization"
    check_problem(await service.anonymous.request("POST", "/auth/token"), 401, "credentials_required")


async def test_an_exchanged_token_dies_with_its_rule(services: Services, github: IssuerServer, clock: Clock) -> None:
    await services.set_rules(
        **trusting(github, rule(), rule("second", match={"ref": "refs/heads/main", "sub": SUBJECT}))
    )
    service = await services.serve()
    exchanged = service.bearer((await exchange(service.bearer(github.token())))["access_token"])
    assert await status(exchanged) == IN
    await services.set_rules(**trusting(github, rule("second", match={"sub": SUBJECT})))
    clock.now += 30
    assert await status(exchanged) == IN
    await services.set_rules(**trusting(github, rule("third")))
    clock.now += 30
    assert await status(exchanged) == NOBODY
    assert await status(service.bearer(github.token())) == IN


async def test_rules_that_are_set_while_serving_are_in_force_within_30_seconds(
    services: Services, github: IssuerServer, clock: Clock
) -> None:
    service = await services.serve()
    job = service.bearer(github.token())
    assert await status(job) == (401, "invalid_token")
    await services.set_rules(**trusting(github, rule()))
    clock.now += trust.CACHE_TTL_SECONDS
    assert await status(job) == IN
    clock.now += trust.CACHE_TTL_SECONDS - 0.1
    await services.set_rules(**trusting(github, rule(match={"repository_id": "1"})))
    assert await status(service.bearer(github.token())) == IN
    clock.now += trust.CACHE_TTL_SECONDS - 0.1
    late = service.bearer(github.token())
    assert await status(late) == NOBODY
    clock.now += 0.2
    assert await status(job) == NOBODY


async def test_rules_that_are_taken_away_by_hand_are_no_longer_in_force(
    services: Services, github: IssuerServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.set_rules(**trusting(github, rule()))
    service = await services.serve()
    assert await status(service.bearer(github.token())) == IN

    async def nothing(_: TrustDocuments) -> None:
        return None

    monkeypatch.setattr(TrustDocuments, "find", nothing)
    clock.now += 30
    assert await status(service.bearer(github.token())) == (401, "invalid_token")


@pytest.mark.parametrize("text", ["{", "[]", '{"rules": 7}', '{"rules": [], "rules": []}', ""])
async def test_a_broken_document_admits_no_identity_and_affects_no_token(
    services: Services, github: IssuerServer, clock: Clock, text: str, said: CapturingLogger
) -> None:
    """Not even by a rule of the file: what the document denied cannot be known."""
    await services.set_rules(**trusting(github, rule("frozen", deny=["token.admin"])))
    service = await services.serve(**trusting(github, rule()))
    job, holder = service.bearer(github.token()), await service.who("reader")
    assert [await status(job), await status(holder)] == [IN, IN]
    await services.put_text(text)
    for _ in range(2):
        clock.now += 30
        assert [await status(job), await status(holder)] == [(503, "unavailable"), IN]
    (call,) = said.calls
    assert (call.method_name, call.args[0]) == ("exception", "trust_rules_unreadable")
    assert call.kwargs["reason"]
    await services.set_rules(**trusting(github, rule()))
    clock.now += 30
    assert await status(job) == IN


@pytest.mark.parametrize(
    ("name", "identifier", "told"),
    [("github", "shared", "table:shared"), ("hub", "other", "other"), ("hub", "shared", "table:shared")],
    ids=["same id", "other issuer name", "both"],
)
async def test_what_the_table_denies_stays_denied_whatever_the_file_allows(
    services: Services, github: IssuerServer, name: str, identifier: str, told: str
) -> None:
    """Whoever set it had no such file in the environment, so that nothing was refused."""
    denial = rule(identifier, issuer=name, allow=["event.read"], deny=["token.admin"])
    await services.set_rules(**trusting(github, denial, name=name))
    service = await services.serve(**trusting(github, rule("shared", allow=["admin"])))
    job = service.bearer(github.token())
    got = await exchange(job)
    assert got["principal"] == f"github:{SUBJECT}"
    for bearer in (job, service.bearer(got["access_token"])):
        assert await status(bearer) == IN
        check_problem(await bearer.request("GET", "/tokens"), 403, "action_forbidden")
    async with open_storage(services.settings) as (table, _):
        kept = await Tokens(table).find(got["access_token"][3:14])
    assert kept
    assert kept.rules == ("shared", told)


async def test_a_rule_that_file_and_table_share_is_one_rule(services: Services, github: IssuerServer) -> None:
    document = trusting(github, rule("shared", allow=["reader"]))
    await services.set_rules(**document)
    service = await services.serve(**document)
    job = service.bearer(github.token())
    await exchange(job)
    check_problem(await job.request("GET", "/tokens"), 403, "action_forbidden")


async def test_an_exchanged_token_has_no_grants_of_another_rule_of_that_id(
    services: Services, github: IssuerServer, clock: Clock
) -> None:
    service = await services.serve(**trusting(github, rule("shared", allow=["reader"])))
    exchanged = service.bearer((await exchange(service.bearer(github.token())))["access_token"])
    await services.set_rules(**trusting(github, rule("shared", match={"repository_id": "1"}, allow=["admin"])))
    clock.now += 30
    assert await status(exchanged) == IN
    check_problem(await exchanged.request("GET", "/tokens"), 403, "action_forbidden")


async def test_the_file_overrides_an_issuer_of_the_table(
    services: Services, github: IssuerServer, said: CapturingLogger
) -> None:
    """An identity of the other issuer would have the name of one of this; none is accepted, so nothing is denied it."""
    with issuer_server(IssuerKind.GITHUB) as other:
        await services.set_rules(**trusting(other, rule("own")))
        service = await services.serve(**trusting(github, rule("shared", allow=["reader"])))
        assert await status(service.bearer(other.token())) == (401, "invalid_token")
        job = service.bearer(github.token())
        assert await status(job) == IN
        check_problem(await job.request("GET", "/tokens"), 403, "action_forbidden")
    assert [(call.method_name, *call.args) for call in said.calls] == [("warning", "trust_rules_clash")]
    assert "issuer 'github'" in said.calls[0].kwargs["reason"]


async def test_rules_are_read_by_one_request_at_a_time_and_no_older_ones_win(
    services: Services, github: IssuerServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.set_rules(**trusting(github, rule()))
    service = await services.serve()
    find, looks, released = TrustDocuments.find, 0, asyncio.Event()

    async def find_late(documents: TrustDocuments) -> Any:
        nonlocal looks
        looks += 1
        found = await find(documents)
        await released.wait()
        return found

    monkeypatch.setattr(TrustDocuments, "find", find_late)
    asking = [asyncio.create_task(status(service.bearer(github.token()))) for _ in range(4)]
    await asyncio.sleep(0.2)
    with pytest.MonkeyPatch.context() as at_once:
        at_once.setattr(TrustDocuments, "find", find)
        await services.set_rules(**trusting(github, rule("other", match={"repository_id": "1"})))
    released.set()
    assert await asyncio.gather(*asking) == [IN] * 4
    assert looks == 1
    clock.now += 30
    assert await status(service.bearer(github.token())) == NOBODY


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"repository_id": "1"}, "no_trust_rule"),
        ({"repository_id": UNSET}, "no_trust_rule"),
        ({"repository_id": ["740216803"]}, "no_trust_rule"),
        ({"iss": "https://token.actions.githubusercontent.com"}, "invalid_token"),
        ({"aud": "somebody else"}, "invalid_token"),
        ({"iat": 1000, "exp": 2000}, "token_expired"),
    ],
    ids=str,
)
async def test_an_identity_that_no_rule_matches_is_not_admitted(
    services: Services, github: IssuerServer, claims: dict[str, Any], code: str
) -> None:
    service = await services.serve(**trusting(github, rule()))
    job = service.bearer(github.token(**claims))
    for method, path in [("GET", "/models"), ("POST", "/auth/token")]:
        problem = check_problem(await job.request(method, path), 403 if code == "no_trust_rule" else 401, code)
        assert "principal" not in problem or problem["principal"] == f"github:{SUBJECT}"


async def test_a_repository_of_the_same_name_with_another_id_is_not_admitted(
    services: Services, github: IssuerServer
) -> None:
    both = {"repository": "acme/fraud", "repository_id": REPOSITORY}
    service = await services.serve(**trusting(github, rule(match=both)))
    assert await status(service.bearer(github.token())) == IN
    assert await status(service.bearer(github.token(repository_id="99"))) == NOBODY


async def test_an_issuer_that_is_away_is_no_reason_to_call_its_tokens_bad(services: Services) -> None:
    with issuer_server(IssuerKind.GITHUB) as server:
        token, document = server.token(), trusting(server, rule())
    service = await services.serve(**document)
    problem = check_problem(await service.bearer(token).request("GET", "/models"), 503, "issuer_unavailable")
    assert problem["issuer"] == "github"
    assert await status(await service.who("reader")) == IN


async def test_several_rules_join_and_what_one_denies_is_denied(
    services: Services, github: IssuerServer, model: str
) -> None:
    service = await services.serve(
        **trusting(
            github,
            rule("upload", allow=["publisher"], models=[model]),
            rule("promote", match={"sub": SUBJECT, "environment": "production"}, allow=["promoter"]),
            rule("frozen", match={"repository_owner_id": "9919"}, allow=[], deny=["version.delete", "alias.set"]),
            rule("delete", allow=["version.delete"]),
            rule("elsewhere", match={"repository_id": "1"}, allow=["admin"]),
        )
    )
    job = service.bearer(github.token())
    for bearer in (job, service.bearer((await exchange(job))["access_token"])):
        number = await bearer.register(model)
        await bearer.promote(model, number)
        await bearer.problem("PUT", f"/{model}/aliases/a", {"version": 1}, status=403, code="action_forbidden")
        await bearer.problem("DELETE", f"/{model}/versions/{number}", status=403, code="action_forbidden")
        await bearer.problem("PATCH", f"/{model}", {"description": "x"}, status=403, code="action_forbidden")
        assert {event["rule"] for event in await bearer.events(model)} == {"upload", "promote"}
    reader = service.bearer(github.token(sub="repo:acme@9919/fraud@740216803:ref:refs/heads/dev"))
    await reader.problem(
        "PUT", f"/{model}/versions/1/stage", {"stage": "production"}, status=403, code="action_forbidden"
    )
