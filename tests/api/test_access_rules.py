"""Trust rules over HTTP: what is refused before it is stored, whatever sends it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelkeep.settings import Settings
from tests.support.access import Secured, secured
from tests.support.api import Api, check_problem
from tests.support.backends import prepare

ISSUER = {"url": "https://issuer.example", "audience": ["registry"]}
RULE = {"id": "ci", "issuer": "own", "match": {"sub": ["job"]}, "allow": ["reader"]}
DOCUMENT = {"issuers": {"own": ISSUER}, "rules": [RULE]}

pytestmark = pytest.mark.parametrize("settings", ["local"], indirect=True)


@pytest.fixture
async def service(settings: Settings, tmp_path: Path) -> AsyncIterator[Secured]:
    """A registry whose own file has a rule `release`."""
    file = tmp_path / "access.json"
    file.write_text(json.dumps({**DOCUMENT, "rules": [{**RULE, "id": "release"}]}))
    own = settings.model_copy(update={"data_dir": tmp_path / "data", "access_file": file})
    await prepare(own)
    async with secured(own) as service:
        yield service


@pytest.fixture
async def admin(service: Secured) -> Api:
    return await service.who("admin")


async def put(api: Api, text: str | bytes) -> Any:
    return await api.request("PUT", "/access", content=text, headers={"content-type": "application/json"})


async def test_a_document_comes_back_as_it_was_sent(admin: Api) -> None:
    answer = await put(admin, json.dumps(DOCUMENT))
    assert (answer.status_code, answer.json()["document"], answer.json()["warnings"]) == (
        200,
        DOCUMENT,
        [],
    )
    read = (await admin.request("GET", "/access")).json()
    assert (read["document"], read["changed_at"]) == (DOCUMENT, answer.json()["changed_at"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rules": [], "rules": []}', "'rules' is there twice in one object; write it once"),
        (json.dumps({"rules": [RULE]}), "rule 'ci' names the issuer 'own', which is not declared"),
        (json.dumps({"issuers": {"sweep": ISSUER}}), "history uses 'sweep' for the registry itself; rename it"),
        (json.dumps(DOCUMENT).replace('"ci"', '"release"').replace("reader", "admin"), "rule 'release' is another one"),
        (
            json.dumps({"issuers": {"own": {**ISSUER, "url": "http://issuer.example"}}}),
            "an issuer is reached by https://",
        ),
        (json.dumps({"issuers": {}}).encode("utf-16"), "Invalid JSON"),
    ],
    ids=["twice", "undeclared", "reserved", "clash", "url", "encoding"],
)
async def test_a_faulty_document_is_refused_and_nothing_is_stored(admin: Api, text: str | bytes, message: str) -> None:
    problem = check_problem(await put(admin, text), 422, "invalid_request")
    assert message in problem["errors"][0]["message"]
    assert "alue error" not in problem["detail"]
    assert (await admin.request("GET", "/access")).json()["document"] == {}


@pytest.mark.parametrize(
    ("allow", "deny", "models"),
    [("token.admin", "", "*"), ("admin", "", "fraud-*"), ("admin", "alias.set", "*")],
    ids=["some", "some-models", "denied"],
)
async def test_who_lacks_anything_sets_no_rules(
    service: Secured, admin: Api, allow: str, deny: str, models: str
) -> None:
    api = await service.who(allow, deny=deny.split(), models=[models])
    check_problem(await put(api, json.dumps(DOCUMENT)), 403, "action_forbidden")
    assert (await admin.request("GET", "/access")).json()["document"] == {}


async def test_a_question_repeats_nothing_of_the_token(admin: Api) -> None:
    text = "mr_not-a-token-but-secret"
    for body in ({"token": text, "action": "nothing"}, {"token": text, "action": "model.read", "model": "a/b"}):
        answer = await admin.request("POST", "/access/explain", json=body)
        check_problem(answer, 422, "invalid_request")
        assert text not in answer.text
    answer = await admin.request("POST", "/access/explain", json={"token": text, "action": "model.read"})
    assert (answer.json()["allowed"], text in answer.text) == (False, False)
