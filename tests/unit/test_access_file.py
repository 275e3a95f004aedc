"""Issuers and trust rules as operators write them: what is parsed, and a sentence for every fault."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import decide
from modelkeep.domain.access.principals import RESERVED
from modelkeep.domain.access.trust import IssuerKind, Trust, TrustRule
from modelkeep.schemas import access_file

TOML = """
[issuers.github]
kind = "github"
url = "https://token.actions.githubusercontent.com"
audience = "https://models.example"

[issuers.cluster]
kind = "kubernetes"
url = "https://k8s.example"
audience = ["models", "models-2"]
algorithms = ["ES256"]
jwks_url = "https://k8s.example/openid/v1/jwks"
ca_file = "/etc/k8s/ca.pem"

[[rules]]
id = "train"
issuer = "github"
match = { repository_id = 740216803, ref_protected = true, event_name = ["push", "workflow_dispatch"] }
allow = ["publisher", "stage.set:*"]
deny = ["stage.set:archived"]
models = ["fraud-*"]

[[rules]]
id = "serve"
issuer = "cluster"
match.sub = "system:serviceaccount:serving:fraud"
allow = ["reader"]
"""

GITHUB = {"kind": "github", "url": "https://github.example", "audience": ["models"]}


def rule(**fields: Any) -> dict[str, Any]:
    return {"id": "ci", "issuer": "hub", "match": {"repository_id": ["1"]}, "allow": ["reader"], **fields}


def document(*rules: dict[str, Any], **issuers: Any) -> dict[str, Any]:
    return {"issuers": issuers or {"hub": GITHUB}, "rules": list(rules)}


def without(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in entry.items() if other != name}


def written(folder: Path, content: str | dict[str, Any], name: str = "access.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def fault_of(path: Path) -> str:
    """The sentence about a file that cannot be used."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as raised:
        access_file.read(path)
    return str(raised.value)


def test_a_file_declares_issuers_and_rules(tmp_path: Path) -> None:
    trust = access_file.read(written(tmp_path, TOML, "access.toml"))
    github, cluster = trust.issuers
    assert (github.kind, github.audiences, github.algorithms) == (
        IssuerKind.GITHUB,
        frozenset({"https://models.example"}),
        ("RS256",),
    )
    assert (cluster.audiences, cluster.algorithms) == (frozenset({"models", "models-2"}), ("ES256",))
    assert (cluster.jwks_url, cluster.ca_file) == ("https://k8s.example/openid/v1/jwks", Path("/etc/k8s/ca.pem"))
    claims = {"repository_id": "740216803", "ref_protected": "true", "event_name": "push"}
    (train,) = trust.rules_for(github, claims)
    assert decide(train.grants, Action.STAGE_SET_PRODUCTION, "fraud-eu") == (True, "train")
    assert decide(train.grants, Action.STAGE_SET_ARCHIVED, "fraud-eu") == (False, "train")
    assert decide(train.grants, Action.VERSION_UPLOAD, "churn") == (False, None)
    (serve,) = trust.rules_for(cluster, {"sub": "system:serviceaccount:serving:fraud"})
    assert decide(serve.grants, Action.MODEL_READ, "anything") == (True, "serve")
    assert trust.warnings == ()


@pytest.mark.parametrize(
    ("value", "claim", "matches"),
    [
        ("740216803", "740216803", True),
        ("740216803", 740216803, True),
        ("[740216803, 1]", "1", True),
        ("true", True, True),
        ("true", "true", True),
        ('"true"', True, True),
        ("false", "false", True),
        ("true", 1, False),
        ("1", True, False),
        ('"None"', None, False),
        ("1", 1.0, False),
        ('"a"', ["a"], False),
        ("\"['a']\"", ["a"], False),
        ('"1.5"', 1.5, False),
        ("2026-11-25", "2026-11-25", True),
        ("2026-11-25T10:00:00Z", "2026-11-25 10:00:00+00:00", True),
        ('"Acme"', "acme", False),
        ('"acme*"', "acme-2", False),
    ],
)
def test_a_value_is_the_claim_however_either_writes_it(tmp_path: Path, value: str, claim: Any, matches: Any) -> None:
    text = TOML.replace("repository_id = 740216803, ref_protected = true", f"repository_id = 7, claim = {value}")
    trust = access_file.read(written(tmp_path, text, "access.toml"))
    claims = {"repository_id": "7", "claim": claim, "event_name": "push"}
    assert bool(trust.rules_for(trust.issuers[0], claims)) is matches


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = written(tmp_path, TOML, "access.toml")
    as_json = written(tmp_path, access_file.load(toml).model_dump_json())
    assert access_file.read(toml) == access_file.read(as_json) == access_file.parse(as_json.read_text())


def test_nothing_is_a_document_too(tmp_path: Path) -> None:
    assert (
        access_file.read(written(tmp_path, "", "access.toml")) == access_file.read(written(tmp_path, "{}")) == Trust()
    )


FAULTS: list[tuple[Any, str]] = [
    ({"issuer": {}}, "issuer: there is no such field"),
    ([], "document: it must be an object"),
    (document(rule(model=["*"])), "rules.0.model: there is no such field"),
    (document(hub={**GITHUB, "secret": "x"}), "issuers.hub.secret: there is no such field"),
    (document(rule(allow=["owner"])), "rules.0: 'owner' is neither an action nor a role; there are model.read, model."),
    (document(rule(allow=["stage.set"])), "rules.0: 'stage.set' is neither an action nor a role"),
    (document(rule(allow="reader")), "rules.0.allow: it must be a valid array"),
    (document(rule(allow=[])), "rules.0: say what to allow, or what to deny"),
    (document(rule(models=["fraud[1]"])), "rules.0: 'fraud[1]' is not a model pattern: a model name in which * stands"),
    (document(rule(models=["a/b"])), "rules.0: 'a/b' is not a model pattern"),
    (document(rule(models=[])), "rules.0.models: it must have at least 1 item"),
    (document(hub={**GITHUB, "url": "http://github.example"}), "issuers.hub.url: an issuer is reached by https://"),
    (document(hub={**GITHUB, "url": "https://me@github.example"}), "issuers.hub.url: an issuer is reached by https://"),
    (document(hub={**GITHUB, "url": "github.example"}), "issuers.hub.url: an issuer is reached by https://"),
    (document(hub={**GITHUB, "url": "https://[::1"}), "issuers.hub.url: "),
    (document(hub={**GITHUB, "jwks_url": "http://keys.example"}), "issuers.hub.jwks_url: an issuer is reached by"),
    (
        document(hub={**GITHUB, "algorithms": ["HS256"]}),
        "issuers.hub.algorithms.0: tokens are signed with one of ES256",
    ),
    (document(hub={**GITHUB, "algorithms": "none"}), "issuers.hub.algorithms.0: tokens are signed with one of ES256"),
    (document(hub={**GITHUB, "kind": "gitea"}), "issuers.hub.kind: it must be 'github', 'gitlab', 'kubernetes'"),
    (document(hub=without(GITHUB, "audience")), "issuers.hub.audience: it is missing"),
    (document(hub={**GITHUB, "audience": []}), "issuers.hub.audience: it must have at least 1 item"),
    (document(hub={**GITHUB, "audience": 7}), "issuers.hub.audience.0: it must be a valid string"),
    (document(hub=without(GITHUB, "url")), "issuers.hub.url: it is missing"),
    (document(Hub=GITHUB), "issuers.Hub.[key]: a name here has 1 to 64 of a-z 0-9 . _ -"),
    (document(**{"token:1": GITHUB}), "issuers.token:1.[key]: a name here has 1 to 64"),
    (document(rule(id="token:1")), "rules.0.id: a name here has 1 to 64 of a-z 0-9 . _ -"),
    (document(rule(id="")), "rules.0.id: a name here has 1 to 64"),
    (document(rule(issuer="lab")), "document: rule 'ci' names the issuer 'lab', which is not declared"),
    (document(rule(), rule(allow=["admin"])), "document: rule 'ci' is declared twice; each must be unique"),
    (
        document(hub=GITHUB, again=GITHUB),
        "document: issuer's url 'https://github.example' is declared twice; each must be unique",
    ),
    (document(without(rule(), "match")), "rules.0.match: it is missing"),
    (document(rule(match={"repository_id": []})), "rules.0.match.repository_id: it must have at least 1 item"),
    (document(rule(match={"repository_id": None})), "rules.0.match.repository_id.0: it must be a valid string"),
    (document(rule(match={"repository_id": 1.5})), "rules.0.match.repository_id.0: it must be a valid string"),
    (document(rule(match={"repository_id": {"a": 1}})), "rules.0.match.repository_id.0: it must be a valid str"),
    *(
        (
            document(rule(match=match)),
            "document: rule 'ci' would trust everybody at this github issuer; match at least one of job_workflow_ref, ",
        )
        for match in ({}, {"environment": "production"}, {"ref_protected": True, "event_name": "push"})
    ),
    (
        document(rule(match={}), hub={**GITHUB, "kind": "oidc"}),
        "document: rule 'ci' would trust everybody at this oidc",
    ),
    (document(rule(match={"aud": "x"}), hub={**GITHUB, "kind": "aws"}), "document: rule 'ci' would trust everybody"),
    ("{", "document: Invalid JSON: EOF while parsing"),
    ('{"rules": [], "rules": []}', "'rules' is there twice in one object; write it once"),
    (
        json.dumps(document(rule())).replace('"allow"', '"deny": ["reader"], "deny": ["admin"], "allow"'),
        "'deny' is there twice in one object; write it once",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), FAULTS, ids=[sentence[:60] for _, sentence in FAULTS])
def test_a_fault_is_said_with_its_place(tmp_path: Path, content: Any, sentence: str) -> None:
    path = written(tmp_path, content if isinstance(content, str) else json.dumps(content))
    assert fault_of(path).startswith(f"{path}: {sentence}")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        access_file.parse(path.read_text())


def test_every_fault_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, document(rule(id="A", allow=[], models=["*"], extra=1)))
    with pytest.raises(ValueError, match=r"rules\.0\.id: .*; rules\.0\.extra: "):
        access_file.read(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[issuers.a]\n[issuers.a]\n", "(at line 2, column 11)"),
        ("rules = [\n", "(at end of document)"),
        ("a = 1\na = 2\n", "(at line 2, column 6)"),
    ],
)
def test_toml_that_is_none_is_said_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text, "access.toml")
    assert fault_of(path).endswith(sentence)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path, why in [(tmp_path / "absent.toml", "No such file or directory"), (tmp_path, "Is a directory")]:
        assert fault_of(path) == f"{path} cannot be read: {why}"
    binary = tmp_path / "access.json"
    binary.write_bytes(b"\xff\xfe{}")
    assert "codec can't decode" in fault_of(binary)


@pytest.mark.parametrize(
    ("kind", "match", "better"),
    [
        ("github", {"repository": "acme/fraud"}, "repository_id or repository_owner_id"),
        ("github", {"sub": "repo:acme/fraud:ref:refs/heads/main"}, "repository_id or repository_owner_id"),
        (
            "github",
            {"job_workflow_ref": "acme/ci/.github/workflows/x.yml@main"},
            "repository_id or repository_owner_id",
        ),
        ("gitlab", {"project_path": "acme/fraud", "ref_protected": True}, "namespace_id or project_id"),
        ("gitlab", {"ci_config_ref_uri": "x"}, "namespace_id or project_id"),
        ("oidc", {"email": "ada@acme.example"}, "sub"),
        ("github", {"repository_id": 1, "repository": "acme/fraud"}, None),
        ("github", {"repository_owner_id": 1}, None),
        ("gitlab", {"project_id": 1}, None),
        ("kubernetes", {"sub": "system:serviceaccount:a:b"}, None),
        ("aws", {"sub": "arn:aws:iam::1:role/x"}, None),
        ("oidc", {"sub": "x"}, None),
    ],
)
def test_a_rule_by_names_alone_is_taken_with_a_warning(kind: str, match: Any, better: str | None) -> None:
    trust = access_file.parse(json.dumps(document(rule(match=match), hub={**GITHUB, "kind": kind})))
    said = f"rule 'ci' goes by names alone, which somebody else may get one day; match {better} as well"
    assert trust.warnings == ((said,) if better else ())
    assert len(trust.rules) == 1


# the file and the table together

NAMES = st.sampled_from(["a", "b", "c"])
ISSUERS = st.fixed_dictionaries(
    {"kind": st.sampled_from([*IssuerKind]), "url": NAMES.map("https://{}.example".format), "audience": NAMES},
    optional={"algorithms": st.lists(st.sampled_from(["RS256", "ES384"]), min_size=1), "ca_file": NAMES},
)
MATCHES = st.dictionaries(
    st.sampled_from(["sub", "repository_id", "project_id", "environment"]),
    NAMES | st.integers() | st.booleans() | st.lists(NAMES, min_size=1),
    min_size=1,
)
RULES = st.fixed_dictionaries(
    {"id": NAMES, "issuer": NAMES, "match": MATCHES, "allow": st.just(["reader"])},
    optional={"deny": st.just(["*"]), "models": st.lists(st.sampled_from(["*", "fraud-*"]), min_size=1)},
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document that is none of the faulty ones."""
    issuers = draw(st.dictionaries(NAMES, ISSUERS, max_size=3))
    issuers = dict({entry["url"]: (name, entry) for name, entry in issuers.items()}.values())
    rules = draw(st.lists(RULES, max_size=4, unique_by=lambda entry: str(entry["id"]))) if issuers else []
    sound = [entry for entry in rules if _is_sound({"issuers": issuers, "rules": [entry]})]
    return json.dumps({"issuers": issuers, "rules": sound})


def _is_sound(content: dict[str, Any]) -> bool:
    try:
        access_file.parse(json.dumps(content))
    except ValueError:
        return False
    return True


@given(documents())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_put_into_the_table_is_the_same_trust(tmp_path: Path, text: str) -> None:
    loaded = access_file.load(written(tmp_path, text))
    assert access_file.parse(loaded.model_dump_json(exclude_defaults=True)) == loaded.to_trust()


@given(documents(), documents())
def test_the_issuers_of_the_file_count_and_every_rule_that_can_match(file: str, table: str) -> None:
    own, kept = access_file.parse(file), access_file.parse(table)
    try:
        joined = own.joined(kept)
    except ValueError:
        assert list(own.clashes(kept)), "an issuer is of two kinds, so that a rule would trust everybody"
        return
    assert joined.issuers[: len(own.issuers)] == own.issuers
    assert joined.rules[: len(own.rules)] == own.rules
    urls = {issuer.name: issuer.url for issuer in joined.issuers}
    meant = {issuer.name: issuer.url for issuer in kept.issuers}
    effects = [_effect(rule, urls) for rule in joined.rules]
    for rule in kept.rules:
        assert (_effect(rule, meant) in effects) is (meant[rule.issuer] in urls.values())
    assert Trust().joined(kept) == kept
    assert list(own.clashes(own)) == []


def _effect(rule: TrustRule, urls: Mapping[str, str]) -> Any:
    """Whom a rule gives what, whatever the rule and the issuer are called."""
    return urls[rule.issuer], rule.match, [replace(grant, rule="") for grant in rule.grants]


HUB = {**GITHUB, "url": "https://other.example"}


@pytest.mark.parametrize(
    ("table", "clashes"),
    [
        (document(rule()), []),
        (document(rule(id="other", deny=["*"])), []),
        (document(rule(deny=["*"])), ["rule 'ci' is another one in the file than in the table; rename one of them"]),
        (
            document(rule(match={"repository_id": "2"}), rule(id="other")),
            ["rule 'ci' is another one in the file than in the table; rename one of them"],
        ),
        (document(hub=HUB), ["issuer 'hub' is another one in the file than in the table; rename one of them"]),
        (document(git=GITHUB), ["issuer 'git' of the table is 'hub' in the file; give it one name"]),
    ],
    ids=["same", "added", "denies", "matches", "issuer", "name"],
)
def test_a_name_that_is_one_thing_here_and_another_there_is_said(table: dict[str, Any], clashes: list[str]) -> None:
    file = access_file.parse(json.dumps(document(rule())))
    assert list(file.clashes(access_file.parse(json.dumps(table)))) == clashes


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_name_that_history_uses_for_the_registry_is_free_in_no_file(tmp_path: Path, name: str) -> None:
    for content in (document(rule(id=name)), document(rule(issuer=name), **{name: GITHUB})):
        sentence = fault_of(written(tmp_path, content))
        assert sentence.endswith(f": history uses '{name}' for the registry itself; rename it")
        assert access_file.parse(json.dumps(content)).rules, "an earlier release took it"


def test_a_rule_of_the_table_does_not_speak_of_another_issuer_of_the_file() -> None:
    file = access_file.parse(json.dumps(document(hub={**GITHUB, "url": "https://other.example"})))
    assert file.joined(access_file.parse(json.dumps(document(rule())))).rules == ()
    same = access_file.parse(json.dumps(document()))
    assert [each.id for each in same.joined(access_file.parse(json.dumps(document(rule())))).rules] == ["ci"]
