"""The commands `token` and `access` as a holder of `token.admin` types them, with no key of the storage."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import RegistryClient
from modelkeep.domain.access.tokens import parse_secret
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.domain.errors import ActionForbiddenError
from modelkeep.settings import Settings
from tests.support.builders import credential
from tests.support.issuers import AUDIENCE, IssuerServer, issuer_server
from tests.support.programs import EXECUTABLE, Said, operate, serving
from tests.support.servers import free_port

pytestmark = pytest.mark.one_backend

Variables = dict[str, str]

RULE = {"id": "ci", "issuer": "github", "match": {"repository_id": ["740216803"]}, "allow": ["publisher"]}


@dataclass(frozen=True)
class Served:
    """A registry that asks for credentials: the environment of its operator, and of its first administrator."""

    operator: Variables
    admin: Variables

    def asks(self, *words: str) -> Said:
        return operate(self.admin, *words)

    def holder_of(self, *options: str) -> Variables:
        """The environment of a caller whose token has these grants."""
        (token,) = self.asks("token", "create", "other", "--days", "1", *options).out
        return self.admin | {"MODELKEEP_TOKEN": token}


@pytest.fixture
def served(variables: Variables, settings: Settings, tmp_path: Path) -> Iterator[Served]:
    secure = {name: value for name, value in variables.items() if name != "MODELKEEP_AUTH"}
    (token,) = operate(secure, *["token", "create", "root", "--allow", "admin", "--days", "30", "--direct"]).out
    port = free_port()
    command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with serving(command, secure, port=port, log=tmp_path / "log") as server:
        server.wait()
        yield Served(secure, {"MODELKEEP_URL": server.url, "MODELKEEP_TOKEN": token})


@pytest.fixture
def github() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


@pytest.fixture
def file_of(tmp_path: Path, github: IssuerServer) -> Callable[..., str]:
    """Write a file of rules."""

    def write(*rules: dict[str, Any]) -> str:
        issuer = {"kind": "github", "url": github.url, "audience": [AUDIENCE]}
        path = tmp_path / "rules.json"
        path.write_text(json.dumps({"issuers": {"github": issuer}, "rules": list(rules)}))
        return str(path)

    return write


def id_of(token: str) -> str:
    found = parse_secret(token)
    assert found
    return found.id


@pytest.mark.every_backend
def test_a_token_is_made_listed_used_and_revoked(served: Served) -> None:
    made = served.asks("token", "create", "train", "--days", "9", "--allow", "publisher", "--models", "fraud-*")
    (token,) = made.out
    assert made.err[0].startswith(f"Token {id_of(token)} of 'train' until ")
    (line,) = [line for line in served.asks("token", "list").out if line.startswith(id_of(token))]
    assert line.endswith("never used  publisher on fraud-*")
    assert served.asks("token", "list").out == operate(served.operator, "token", "list", "--direct").out
    assert operate(served.admin | {"MODELKEEP_TOKEN": token}, "list").status == 0
    assert served.asks("token", "revoke", id_of(token)) == Said(0, [f"Token {id_of(token)} is revoked"], [])
    (document,) = [
        each for each in json.loads("\n".join(served.asks("token", "list", "-o", "json").out)) if each["id"] in token
    ]
    assert (document["principal"], document["created_by"], document["revoked_at"] is None) == ("train", "root", False)


def test_a_new_token_is_a_document_too(served: Served) -> None:
    said = served.asks("-o", "json", "token", "create", "train", "--days", "9", "--allow", "reader")
    document = json.loads("\n".join(said.out))
    assert (id_of(document["token"]), said.err) == (document["id"], [])


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["train", "--allow", "owner"], 2, "'owner' is neither an action nor a role; there are model.read"),
        (["train", "--allow", "reader", "--models", "a/b"], 2, "'a/b' is not a model pattern"),
        (["operator", "--allow", "reader"], 1, "body.principal: history uses 'operator' for the registry itself"),
    ],
    ids=["role", "pattern", "principal"],
)
@pytest.mark.parametrize("direct", [[], ["--direct"]], ids=["http", "direct"])
def test_what_cannot_be_is_refused_in_the_same_words_either_way(
    served: Served, options: list[str], status: int, sentence: str, direct: list[str]
) -> None:
    said = operate(served.operator | served.admin, "token", "create", *options, "--days", "1", *direct)
    assert (said.status, said.out) == (status, [])
    assert said.err[0].removeprefix("Error: ").startswith(sentence)


def test_nobody_gives_more_than_it_has(served: Served) -> None:
    holder = served.holder_of("--allow", "token.admin", "--allow", "reader")
    assert operate(holder, "token", "create", "more", "--days", "1", "--allow", "reader").status == 0
    said = operate(holder, "token", "create", "more", "--days", "1", "--allow", "promoter")
    assert (said.status, "is not yours to give" in said.err[0]) == (1, True)
    said = operate(served.holder_of("--allow", "reader"), "token", "list")
    assert (said.status, said.err[0]) == (
        1,
        "Error: 'other' may not do token.admin on '*'. Ask who runs the registry for a grant.",
    )


# rules


@pytest.mark.every_backend
def test_rules_are_set_shown_and_explained(
    served: Served, file_of: Callable[..., str], github: IssuerServer, tmp_path: Path
) -> None:
    assert served.asks("access", "show") == Said(0, ["{}"], [])
    assert served.asks("access", "set", file_of(RULE)) == Said(0, ["1 issuer(s), 1 rule(s)"], [])
    shown = served.asks("access", "show")
    assert json.loads("\n".join(shown.out))["rules"] == [RULE]
    assert operate(served.operator, "access", "show", "--direct") == shown
    (tmp_path / "token").write_text(github.token())
    question = ["access", "explain", "--token-file", str(tmp_path / "token"), "--action"]
    said = served.asks(*question, "version.upload")
    assert (said.status, said.out[-1]) == (0, "version.upload on '*' is allowed by 'ci'.")
    assert served.asks(*question, "alias.set").status == 1
    assert operate(served.operator, *question, "version.upload", "--direct") == said


def test_what_may_be_unintended_is_said(served: Served, file_of: Callable[..., str]) -> None:
    by_name = RULE | {"match": {"repository": "acme/fraud"}}
    said = served.asks("access", "set", file_of(by_name))
    assert said.err[0].startswith("Warning: rule 'ci' goes by names alone")


def test_who_is_denied_anything_on_some_models_sets_no_rules(served: Served, file_of: Callable[..., str]) -> None:
    """The denial is from a rule of its own, for a token's grants share their models."""
    denial = {**RULE, "id": "frozen", "allow": [], "deny": ["stage.set:production"], "models": ["fraud-*"]}
    everything = {**RULE, "allow": ["admin"]}
    with issuer_server(IssuerKind.GITHUB) as issuer:
        path = Path(file_of(everything, denial))
        document = json.loads(path.read_text())
        document["issuers"]["github"]["url"] = issuer.url
        with RegistryClient(served.admin["MODELKEEP_URL"], token=served.admin["MODELKEEP_TOKEN"]) as admin:
            admin.set_rules(document)
        with (
            RegistryClient(served.admin["MODELKEEP_URL"], token=issuer.token()) as job,
            pytest.raises(ActionForbiddenError) as refused,
        ):
            job.set_rules({"rules": []})
    assert (refused.value.action, refused.value.model) == ("stage.set:production", "fraud-*")


# when neither works


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"MODELKEEP_URL": "http://127.0.0.1:1"}, 3),
        ({"MODELKEEP_TOKEN": ""}, 1),
        ({"MODELKEEP_TOKEN": credential().text}, 1),
    ],
    ids=["nobody", "no-token", "wrong-token"],
)
def test_who_is_not_let_in_learns_of_the_other_way(served: Served, changes: Variables, status: int) -> None:
    caller = served.admin | changes
    said = operate(caller, "token", "list")
    advice = "run `modelkeep token list` with `--direct` on the machine that has the storage."
    assert (said.status, said.out) == (status, [])
    assert said.err[0].endswith(advice)
    assert len(operate(caller, "token", "list", "-o", "json").err) == 1
