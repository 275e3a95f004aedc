"""The operator's commands on tokens and trust rules, as they are typed, and which services may start."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from modelkeep.admin import access
from modelkeep.admin.access import NO_ACCESS_CONFIGURED, OPEN_BEHIND_A_PROXY, OPEN_TO_ALL
from modelkeep.bootstrap import open_storage
from modelkeep.domain.access.tokens import from_hub_spelling, parse_secret
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.repositories.pages import Page
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.services.access import trust
from modelkeep.settings import Settings
from tests.support.access import token_for
from tests.support.backends import local_environment
from tests.support.builders import credential
from tests.support.issuers import AUDIENCE, IssuerServer, issuer_server
from tests.support.programs import EXECUTABLE, Said, operate, operating, serving
from tests.support.servers import free_port

pytestmark = pytest.mark.one_backend

MODEL = "fraud-detector"
SUBJECT = "github:repo:acme@9919/fraud@740216803:environment:production"

ONE_RULE = Said(0, ["1 issuer(s), 1 rule(s)"], [])

Variables = dict[str, str]


@pytest.fixture
def secure(variables: Variables, settings: Settings) -> Variables:
    """The environment of a registry that asks for credentials, initialised and without a token."""
    return {name: value for name, value in variables.items() if name != "MODELKEEP_AUTH"}


@pytest.fixture
def github() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


def create(variables: Variables, *options: str, principal: str = "ci") -> str:
    """Make a token as an operator does, a reader unless something else is said; answer its text."""
    said = operate(
        variables, "token", "create", "--direct", principal, "--days", "30", *(options or ("--allow", "reader"))
    )
    assert said.status == 0, said
    (text,) = said.out
    assert parse_secret(text)
    return text


def id_of(text: str) -> str:
    shown = parse_secret(text)
    assert shown
    return shown.id


def refused(said: Said, *, status: int = 1) -> str:
    """The one sentence that a command ended with."""
    assert (said.status, said.out) == (status, []), said
    (sentence,) = said.err
    return sentence


def mistake(said: Said) -> str:
    """What is wrong with the file that a command was given."""
    sentence = said.err[0].removeprefix("Error: Invalid value for 'FILE': ")
    assert (said.status, said.out, sentence != said.err[0]) == (2, [], True), said
    return sentence


def rules(server: IssuerServer, *entries: dict[str, Any]) -> dict[str, Any]:
    issuer = {"kind": server.kind.value, "url": server.url, "audience": [AUDIENCE]}
    return {"issuers": {"github": issuer}, "rules": list(entries)}


def rule(identifier: str, match: dict[str, Any], *allow: str, **fields: Any) -> dict[str, Any]:
    return {"id": identifier, "issuer": "github", "match": match, "allow": list(allow), **fields}


def written(folder: Path, content: Any, name: str = "access.json") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


# token


@pytest.mark.every_backend
def test_a_token_is_made_listed_and_revoked(secure: Variables) -> None:
    made = operate(
        secure,
        *(
            "token",
            "create",
            "--direct",
            "train",
            "--days",
            "90",
            "--allow",
            "publisher",
            "--allow",
            "stage.set:production",
        ),
        *("--deny", "version.edit", "--models", "fraud-*", "--models", "churn"),
    )
    assert made.status == 0
    (text,) = made.out
    end = f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}"
    assert made.err == [f"Token {id_of(text)} of 'train' until {end}; it is not shown again:"]

    allowed = "publisher, stage.set:production on fraud-*, churn; not version.edit on fraud-*, churn"
    listed = Said(0, [f"{id_of(text)}  train  until {end}  never used  {allowed}"], [])
    assert operate(secure, "token", "list", "--direct") == listed
    for _ in range(2):
        assert operate(secure, "token", "revoke", "--direct", id_of(text)) == Said(
            0, [f"Token {id_of(text)} is revoked"], []
        )
    assert operate(secure, "token", "list", "--direct").out == [f"{id_of(text)}  train  revoked  never used  {allowed}"]


def test_all_tokens_are_listed_by_id(secure: Variables) -> None:
    assert operate(secure, "token", "list", "--direct") == Said(0, [], ["There are no tokens."])
    with mock.patch("modelkeep.admin.access._PAGE_SIZE", 2):
        made = [id_of(create(secure)) for _ in range(5)]
        assert [line.split()[0] for line in operate(secure, "token", "list", "--direct").out] == sorted(made)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["ci", "--days", "1", "--allow", "owner"], "'owner' is neither an action nor a role; there are model.read"),
        (["ci", "--days", "1", "--allow", "reader", "--models", "a/b"], "'a/b' is not a model pattern"),
        (["ci", "--days", "0", "--allow", "reader"], "'--days': it must be greater than or equal to 1"),
        (["ci", "--days", "367", "--allow", "reader"], "'--days': it must be less than or equal to 366"),
        (["ci", "--allow", "reader"], "Missing option '--days'"),
        (["ci", "--days", "1"], "Missing option '--allow'"),
        (["--days", "1", "--allow", "reader"], "Missing argument 'PRINCIPAL'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_token_that_cannot_be_is_a_mistake_of_typing(
    secure: Variables, options: Sequence[str], sentence: str
) -> None:
    said = operate(secure, "token", "create", "--direct", *options)
    assert (said.status, said.out) == (2, [])
    assert sentence in " ".join(said.err)
    assert operate(secure, "token", "list", "--direct").out == []


def test_a_token_is_printed_as_hugging_face_clients_want_it(secure: Variables) -> None:
    made = operate(secure, "token", "create", "--direct", "serving", "--days", "1", "--allow", "reader", "--hf")
    (text,) = made.out
    assert re.fullmatch(r"hf_[0-9a-z]{34,253}", text)
    assert parse_secret(from_hub_spelling(text))
    options = ["--days", "1", "--allow", "reader", "--hf", "--output", "json"]
    made = operate(secure, "token", "create", "--direct", "serving", *options)
    assert json.loads("".join(made.out))["token"].startswith("hf_")


def test_a_token_is_not_made_in_the_name_of_an_identity(secure: Variables) -> None:
    said = operate(secure, "token", "create", "--direct", SUBJECT, "--days", "1", "--allow", "reader")
    assert refused(said).startswith("body.principal: a principal is named by 1 to 128 printable characters")


@pytest.mark.parametrize("name", ["operator", "Sweep", "anonymous "])
def test_a_token_is_not_made_in_the_name_of_the_registry_itself(secure: Variables, name: str) -> None:
    sentence = refused(operate(secure, "token", "create", "--direct", name, "--days", "1", "--allow", "reader"))
    assert sentence == f"body.principal: history uses '{name}' for the registry itself; choose another name."


def test_an_absent_token_cannot_be_revoked(secure: Variables) -> None:
    assert "absent" in refused(operate(secure, "token", "revoke", "--direct", "absent"))


@pytest.mark.every_backend
def test_a_token_made_here_opens_the_service_and_its_use_is_shown(secure: Variables, tmp_path: Path) -> None:
    text, port = create(secure, "--allow", "admin"), free_port()
    command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port)]
    more = {"MODELKEEP_TRUSTED_PROXIES": "127.0.0.1", "MODELKEEP_FAILED_LOGINS_PER_MINUTE": "2"}
    with serving(command, secure | more, port=port, log=tmp_path / "log") as server:
        server.wait()

        def status(token: str, client: str = "203.0.113.1") -> int:
            headers = {"authorization": f"Bearer {token}", "x-forwarded-for": client}
            return httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False).status_code

        assert status(text) == 200
        assert [status(credential().text) for _ in range(3)] == [401, 401, 429]
        assert status(credential().text, "203.0.113.2") == 401
        assert server.stop() == 0
    assert text not in server.said()
    (line,) = operate(secure, "token", "list", "--direct").out
    assert f"used {datetime.now(UTC):%Y-%m-%d}" in line


# access check, set, show


def test_a_good_file_is_called_good_and_what_to_think_over_is_said(tmp_path: Path, github: IssuerServer) -> None:
    by_name = rule("named", {"repository": "acme/fraud"}, "reader")
    path = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, "publisher"), by_name))
    said = operate({}, "access", "check", path)
    assert (said.status, said.out) == (0, ["1 issuer(s), 2 rule(s)"])
    (warning,) = said.err
    assert warning.startswith("Warning: rule 'named' goes by names alone, which somebody else may get one day; match ")


@pytest.mark.parametrize("command", ["check", "set"])
def test_a_faulty_file_is_refused_and_nothing_is_written(secure: Variables, tmp_path: Path, command: str) -> None:
    path = written(tmp_path, "[issuers.x]\nurl = 'http://x.example'\naudience = 'a'\n", "access.toml")
    sentence = mistake(operate(secure, "access", command, path))
    assert sentence.startswith(f"{path}: issuers.x.url: an issuer is reached by https://")
    assert operate(secure, "access", "show", "--direct").out == ["{}"]
    absent = mistake(operate(secure, "access", command, str(tmp_path / "absent.toml")))
    assert absent.startswith(f"{tmp_path / 'absent.toml'} cannot be read: No such file or directory.")


@pytest.mark.every_backend
def test_rules_are_set_and_shown_and_set_anew(secure: Variables, tmp_path: Path, github: IssuerServer) -> None:
    assert operate(secure, "access", "show", "--direct") == Said(0, ["{}"], [])
    first = written(tmp_path, rules(github, rule("ci", {"repository": "acme/fraud"}, "reader")))
    said = operate(secure, "access", "set", "--direct", first)
    assert (said.status, said.out) == (0, ["1 issuer(s), 1 rule(s)"])
    assert said.err[0].startswith("Warning: rule 'ci' goes by names alone")
    second = written(tmp_path, rules(github, rule("train", {"repository_id": 740216803}, "publisher")))
    assert operate(secure, "access", "set", "--direct", second) == ONE_RULE
    shown = operate(secure, "access", "show", "--direct")
    assert [entry["id"] for entry in json.loads("\n".join(shown.out))["rules"]] == ["train"]
    again = written(tmp_path, "\n".join(shown.out))
    assert operate(secure, "access", "set", "--direct", again) == ONE_RULE
    assert operate(secure, "access", "show", "--direct") == shown


@pytest.mark.every_backend
def test_a_name_that_the_file_uses_for_something_else_is_not_set_and_nothing_starts_with_it(
    secure: Variables, tmp_path: Path, github: IssuerServer
) -> None:
    file = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, "admin")), "file.json")
    denial = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, deny=["token.admin"])))
    clash = "rule 'ci' is another one in the file than in the table; rename one of them"
    sentence = f"MODELKEEP_ACCESS_FILE and the rules of the table clash: {clash}."
    beside = secure | {"MODELKEEP_ACCESS_FILE": file}
    assert refused(operate(beside, "access", "set", "--direct", denial), status=2) == sentence
    assert operate(secure, "access", "show", "--direct").out == ["{}"]
    assert operate(beside, "access", "set", "--direct", file) == ONE_RULE
    assert serve(beside) == (Said(0, [], []), True)
    assert operate(secure, "access", "set", "--direct", denial) == ONE_RULE
    said, started = serve(beside)
    assert (said.status, said.err[-1], started) == (2, sentence, False)


async def test_a_service_does_not_start_while_rules_of_the_table_cannot_be_read(
    secure: Variables, settings: Settings, tmp_path: Path, github: IssuerServer
) -> None:
    file = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, "admin")))
    async with open_storage(settings) as (table, _):
        await TrustDocuments(table).replace('{"rules": 7}', revision=0, now=datetime.now(UTC))
    said = await operating(secure | {"MODELKEEP_ACCESS_FILE": file}, "serve")
    assert (said.status, said.err[-1]) == (1, trust.UNREADABLE)


# access explain


def explain(variables: Variables, folder: Path, text: str, action: str = "stage.set:production") -> Said:
    token_file = written(folder, f"{text}\n", "token")
    return operate(
        variables, "access", "explain", "--direct", "--token-file", token_file, "--action", action, "--model", MODEL
    )


def test_a_registry_token_is_explained(secure: Variables, tmp_path: Path) -> None:
    text = create(secure, "--allow", "promoter", "--deny", "alias.set", "--models", "fraud-*")
    of = f"It is the token {id_of(text)} of 'ci'."
    by = f"'token:{id_of(text)}'"
    assert explain(secure, tmp_path, text) == Said(
        0, [of, f"stage.set:production on '{MODEL}' is allowed by {by}."], []
    )
    denied = f"alias.set on '{MODEL}' is denied by {by}, whatever else allows it."
    assert explain(secure, tmp_path, text, "alias.set") == Said(1, [of, denied], [])
    unsaid = f"version.delete on '{MODEL}' is not allowed: no matching rule covers it."
    assert explain(secure, tmp_path, text, "version.delete") == Said(1, [of, unsaid], [])
    operate(secure, "token", "revoke", "--direct", id_of(text))
    said = explain(secure, tmp_path, text)
    assert said.status == 1
    assert re.fullmatch(r"It was revoked at .*, so it is not accepted\.", said.out[-1])


def test_a_token_that_is_none_is_explained(secure: Variables, tmp_path: Path) -> None:
    assert explain(secure, tmp_path, credential().text) == Said(1, ["This is no token of this registry."], [])
    said = explain(secure, tmp_path, credential().text[:-1])
    assert said.status == 1
    assert said.out[0].startswith("The token is not accepted.")


def test_an_issuers_token_is_explained(secure: Variables, tmp_path: Path, github: IssuerServer) -> None:
    document = rules(
        github,
        rule("ci", {"repository_id": 740216803}, "publisher"),
        rule("release", {"repository_id": 740216803, "environment": ["production", "live"]}, "promoter"),
        rule("frozen", {"repository_owner_id": 9919}, deny=["alias.set"]),
        rule("other", {"repository_id": 1, "ref": "refs/heads/dev"}, "admin"),
    )
    assert operate(secure, "access", "set", "--direct", written(tmp_path, document)).status == 0
    said = explain(secure, tmp_path, github.token())
    assert said == Said(
        0,
        [
            f"The token is valid and identifies '{SUBJECT}'.",
            "Rule 'ci' matches: it allows publisher on *.",
            "Rule 'release' matches: it allows promoter on *.",
            "Rule 'frozen' matches: it denies alias.set on *.",
            "Rule 'other' does not match: repository_id is '740216803', and must be '1'.",
            f"stage.set:production on '{MODEL}' is allowed by 'release'.",
        ],
        [],
    )
    denied = explain(secure, tmp_path, github.token(), "alias.set")
    assert (denied.status, denied.out[-1]) == (
        1,
        f"alias.set on '{MODEL}' is denied by 'frozen', whatever else allows it.",
    )
    elsewhere = explain(secure, tmp_path, github.token(environment="staging"))
    assert elsewhere.status == 1
    assert (
        "Rule 'release' does not match: environment is 'staging', and must be 'live' or 'production'." in elsewhere.out
    )
    assert elsewhere.out[-1] == f"stage.set:production on '{MODEL}' is not allowed: no matching rule covers it."


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"iat": 1000, "exp": 2000}, "The token is not accepted. The token expired at 1970-01-01T00:33:20Z."),
        ({"iss": "https://elsewhere.example"}, "The token is not accepted. The token's issuer is not trusted here."),
        ({"aud": "other"}, "The token is not accepted. The token is for another audience."),
    ],
    ids=str,
)
def test_an_issuers_token_that_is_not_good_is_explained(
    secure: Variables, tmp_path: Path, github: IssuerServer, claims: dict[str, Any], sentence: str
) -> None:
    path = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, "publisher")))
    said = explain(secure | {"MODELKEEP_ACCESS_FILE": path}, tmp_path, github.token(**claims))
    assert (said.status, len(said.out)) == (1, 1)
    assert said.out[0].startswith(sentence)


def test_an_issuer_without_rules_and_one_that_is_away_are_explained(
    secure: Variables, tmp_path: Path, github: IssuerServer
) -> None:
    away = secure | {"MODELKEEP_ACCESS_FILE": written(tmp_path, rules(github))}
    said = explain(away, tmp_path, github.token())
    assert (said.status, said.out[1]) == (1, "No rule names the issuer 'github'.")
    with issuer_server(IssuerKind.GITHUB) as server:
        token, path = server.token(), written(tmp_path, rules(server))
    said = explain(secure | {"MODELKEEP_ACCESS_FILE": path}, tmp_path, token)
    assert said.status == 1
    assert "The keys of the issuer 'github' cannot be read now" in said.out[0]


def test_what_cannot_be_explained_is_a_mistake_of_typing(secure: Variables, tmp_path: Path) -> None:
    said = operate(
        secure, "access", "explain", "--direct", "--token-file", str(tmp_path / "absent"), "--action", "model.read"
    )
    assert "No such file or directory" in refused(said, status=2)
    assert explain(secure, tmp_path, "x", "model.eat").status == 2


# which services may start


def serve(variables: Variables, *options: str) -> tuple[Said, bool]:
    """What `serve` says, and whether it would listen."""
    with mock.patch("uvicorn.run") as run:
        said = operate(variables, "serve", *options)
    return said, run.called


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LIST_RETRY_DELAYS", (0.0,))


def test_a_service_that_nobody_could_enter_does_not_start(secure: Variables, impatient: None) -> None:
    assert serve(secure) == (Said(2, [], [NO_ACCESS_CONFIGURED]), False)
    text = create(secure)
    assert serve(secure) == (Said(0, [], []), True)
    operate(secure, "token", "revoke", "--direct", id_of(text))
    assert serve(secure) == (Said(2, [], [NO_ACCESS_CONFIGURED]), False)


async def test_tokens_that_have_ended_let_nobody_in(secure: Variables, settings: Settings, impatient: None) -> None:
    await token_for(settings, allow=["admin"], life=timedelta(milliseconds=300))
    await asyncio.sleep(0.3)
    assert await operating(secure, "serve") == Said(2, [], [NO_ACCESS_CONFIGURED])


@pytest.mark.every_backend
def test_a_token_of_a_moment_ago_may_not_be_listed_yet(secure: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    create(secure)
    listing, looks = Tokens.list, 0

    async def list_late(tokens: Tokens, *, cursor: str | None, limit: int) -> Any:
        nonlocal looks
        looks += 1
        return Page([], None) if looks < 3 else await listing(tokens, cursor=cursor, limit=limit)

    monkeypatch.setattr(Tokens, "list", list_late)
    monkeypatch.setattr(access, "LIST_RETRY_DELAYS", (0.0, 0.01, 0.01, 0.01))
    assert serve(secure) == (Said(0, [], []), True)
    assert looks == 3


def test_rules_in_a_file_or_in_the_table_are_a_way_in(
    secure: Variables, tmp_path: Path, github: IssuerServer, impatient: None
) -> None:
    path = written(tmp_path, rules(github, rule("ci", {"repository_id": 740216803}, "publisher")))
    assert serve(secure | {"MODELKEEP_ACCESS_FILE": path}) == (Said(0, [], []), True)
    empty = written(tmp_path, rules(github), "empty.json")
    assert serve(secure | {"MODELKEEP_ACCESS_FILE": empty}) == (Said(2, [], [NO_ACCESS_CONFIGURED]), False)
    assert operate(secure, "access", "set", "--direct", path).status == 0
    assert serve(secure) == (Said(0, [], []), True)


@pytest.mark.parametrize("auth", [{}, {"MODELKEEP_AUTH": "none"}], ids=["asking", "open"])
def test_a_file_that_cannot_be_used_is_said_before_anything_starts(
    secure: Variables, tmp_path: Path, auth: Variables
) -> None:
    create(secure)
    faulty = secure | auth | {"MODELKEEP_ACCESS_FILE": written(tmp_path, "{")}
    said, started = serve(faulty, "--host", "127.0.0.1")
    assert refused(said, status=2).startswith(f"{tmp_path / 'access.json'}: document: Invalid JSON")
    assert not started


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_nobody_is_asked_on_this_machine_alone(secure: Variables, host: str) -> None:
    assert serve(secure | {"MODELKEEP_AUTH": "none"}, "--host", host) == (Said(0, [], []), True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example", "0x7f.1", "::ffff:1.2.3.4"])
def test_nobody_is_asked_elsewhere_only_on_demand(secure: Variables, host: str) -> None:
    open_to_all = secure | {"MODELKEEP_AUTH": "none"}
    refusal = Said(2, [], [OPEN_TO_ALL.format(host=host)])
    assert serve(open_to_all, "--host", host) == (refusal, False)
    assert serve(open_to_all | {"MODELKEEP_INSECURE": "0"}, "--host", host) == (refusal, False)
    assert serve(open_to_all | {"MODELKEEP_INSECURE": "1"}, "--host", host) == (Said(0, [], []), True)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("MODELKEEP_PUBLIC_URL", "https://models.example.com", "https://models.example.com"),
        ("MODELKEEP_PUBLIC_URL", "http://10.1.2.3:8000", "http://10.1.2.3:8000"),
        ("MODELKEEP_TRUSTED_PROXIES", "127.0.0.1", "the proxy"),
    ],
)
def test_nobody_is_asked_behind_a_proxy_only_on_demand(secure: Variables, variable: str, value: str, what: str) -> None:
    proxied = secure | {"MODELKEEP_AUTH": "none", variable: value}
    refusal = Said(2, [], [OPEN_BEHIND_A_PROXY.format(what=what, variable=variable)])
    assert serve(proxied, "--host", "127.0.0.1") == (refusal, False)
    assert serve(proxied | {"MODELKEEP_INSECURE": "1"}, "--host", "127.0.0.1") == (Said(0, [], []), True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost", "http://a.localhost"]
)
def test_nobody_is_asked_at_a_public_url_of_this_machine(secure: Variables, url: str) -> None:
    local = secure | {"MODELKEEP_AUTH": "none", "MODELKEEP_PUBLIC_URL": url}
    assert serve(local, "--host", "127.0.0.1") == (Said(0, [], []), True)


# dev


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_dev_makes_no_token_and_asks_for_one_where_others_reach_it(tmp_path: Path, host: str) -> None:
    port, data = free_port(), tmp_path / "data"
    assert operate(local_environment(data), "init").status == 0
    if host == "0.0.0.0":
        create(local_environment(data))
    made = operate(local_environment(data), "token", "list", "--direct").out
    command = [EXECUTABLE, "dev", "--host", host, "--port", str(port), "--data-dir", str(data)]
    with serving(command, {}, port=port, log=tmp_path / "log") as server:
        server.wait()
        status = httpx.get(f"{server.url}/v1/models", trust_env=False).status_code
        assert status == (200 if host == "127.0.0.1" else 401)
        assert server.stop() == 0
        assert "mr_" not in server.said()
    assert operate(local_environment(data), "token", "list", "--direct").out == made


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> str:
    """A free port; and the program is on the path, without `uv run`."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    return str(free_port())


def test_dev_says_how_to_make_the_token_without_which_it_does_not_start_for_others(tmp_path: Path, port: str) -> None:
    data = tmp_path / "data"
    said = operate({}, "dev", "--host", "0.0.0.0", "--port", port, "--data-dir", str(data))
    assert (said.status, said.err) == (2, [NO_ACCESS_CONFIGURED])
    assert said.out == [
        f"Clients must show a token: MODELKEEP_BACKEND=local MODELKEEP_DATA_DIR={data} \\",
        "    modelkeep token create NAME --allow admin --days 30 --direct",
    ]


def test_dev_is_not_moved_by_the_settings_of_a_service(tmp_path: Path, port: str) -> None:
    variables = local_environment(tmp_path) | {"MODELKEEP_AUTH": "none", "MODELKEEP_INSECURE": "1"}
    with mock.patch("uvicorn.run") as run, mock.patch("modelkeep.admin.serving.check_access_configured") as check:
        said = operate(variables, "dev", "--host", "0.0.0.0", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert said.status == 0, said
    assert run.called
    assert check.call_args.args[0].auth is None
    assert "Clients must show a token" in said.out[-2]
