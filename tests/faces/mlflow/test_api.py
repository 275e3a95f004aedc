"""The face over HTTP: what its clients do not show."""

import asyncio
import base64
from typing import Any
from uuid import uuid4

import httpx
import pytest

from modelkeep.faces.mlflow import model_versions, registered_models
from modelkeep.settings import Settings
from tests.support.access import secured, token_for
from tests.support.api import Api

FILES = {"MLmodel": b"{}", "data/a/b.bin": b"bytes", "data/c.bin": b""}
REGISTRY = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def model() -> str:
    return f"taxi-{uuid4().hex[:8]}"


async def ask(api: Api, method: str, path: str, status: int = 200, **given: Any) -> Any:
    query, body = (given, None) if method == "GET" else (None, given)
    answer = await api.http.request(method, f"{REGISTRY}/{path}", params=query, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_sixteen_clients_that_promote_leave_one_production_version(api: Api, model: str) -> None:
    for _ in range(4):
        await api.register(model, FILES)
    for _ in range(5):
        moves = [
            ask(api, "POST", "model-versions/transition-stage", name=model, version=str(n % 4 + 1), stage="Production")
            for n in range(16)
        ]
        await asyncio.gather(*moves)
        found = (await ask(api, "GET", "model-versions/search", filter=f"name = '{model}'"))["model_versions"]
        assert [each["current_stage"] for each in found].count("Production") == 1


async def test_staging_archives_the_others_that_were_moved_there_if_asked_to(api: Api, model: str) -> None:
    for _ in range(4):
        await api.register(model, FILES)
    move: dict[str, Any] = {"name": model, "stage": "staging"}
    for number in ("1", "2"):
        await ask(api, "POST", "model-versions/transition-stage", **move, version=number)
    await ask(api, "POST", "model-versions/transition-stage", **move, version="3", archive_existing_versions=True)
    found = (await ask(api, "GET", "model-versions/search", filter=f"name = '{model}'"))["model_versions"]
    stages = {each["version"]: each["current_stage"] for each in found}
    assert stages == {"1": "Archived", "2": "Archived", "3": "Staging", "4": "None"}
    refused = await ask(
        api, "POST", "model-versions/transition-stage", 400,
        name=model, version="1", stage="None", archive_existing_versions=True,
    )  # fmt: skip
    assert refused["error_code"] == "INVALID_PARAMETER_VALUE"


async def test_the_newest_of_each_stage(api: Api, model: str) -> None:
    for _ in range(3):
        await api.register(model, FILES)
    await api.promote(model, 1)
    for method in ("GET", "POST"):
        found = await ask(api, method, "registered-models/get-latest-versions", name=model)
        stages = {each["current_stage"]: each["version"] for each in found["model_versions"]}
        assert stages == {"Production": "1", "None": "3"}
        chosen = await ask(api, method, "registered-models/get-latest-versions", name=model, stages=["production"])
        assert [each["version"] for each in chosen["model_versions"]] == ["1"]


async def test_searches_have_pages(api: Api, model: str) -> None:
    for _ in range(3):
        await api.register(model, FILES)
    search: dict[str, Any] = {"filter": f"name = '{model}'", "order_by": "version_number ASC", "max_results": 2}
    first = await ask(api, "GET", "model-versions/search", **search)
    assert [each["version"] for each in first["model_versions"]] == ["1", "2"]
    second = await ask(api, "GET", "model-versions/search", **search, page_token=first["next_page_token"])
    assert [each["version"] for each in second["model_versions"]] == ["3"]
    assert "next_page_token" not in second
    mistakes: list[dict[str, Any]] = [
        {"max_results": 0},
        {"max_results": 200_001},
        {"page_token": "x"},
        {"order_by": "size"},
    ]
    for wrong in mistakes:
        refused = await ask(api, "GET", "model-versions/search", 400, **{**search, **wrong})
        assert refused["error_code"] == "INVALID_PARAMETER_VALUE"


async def test_a_search_of_too_many_versions_asks_for_a_model(
    api: Api, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await api.register(model, FILES)
    monkeypatch.setattr(model_versions, "MAX_LOOKED_AT", 1)
    for chosen in ("", f"name LIKE '{model}'"):
        refused = await ask(api, "GET", "model-versions/search", 400, filter=chosen)
        assert "Add name = 'MODEL'" in refused["message"]
    monkeypatch.setattr(model_versions, "MAX_LOOKED_AT", 2)
    assert len((await ask(api, "GET", "model-versions/search", filter=f"name = '{model}'"))["model_versions"]) == 2


async def test_a_model_names_production_however_many_versions_are_newer(
    api: Api, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        await api.register(model, FILES)
    await api.promote(model, 1)
    monkeypatch.setattr(registered_models, "NEWEST_OF_A_MODEL", 2)
    found = (await ask(api, "GET", "registered-models/get", name=model))["registered_model"]
    assert {each["version"]: each["current_stage"] for each in found["latest_versions"]} == {
        "4": "None",
        "1": "Production",
    }
    searched = await ask(api, "GET", "registered-models/search", filter=f"name = '{model}'")
    assert searched["registered_models"] == [found]


async def test_folders_are_listed_one_level_at_a_time(api: Api, model: str) -> None:
    await api.register(model, FILES)

    async def listed(path: str) -> list[tuple[str, bool, int | None]]:
        answer = await api.http.get(ARTIFACTS, params={"path": path})
        return [(each["path"], each["is_dir"], each.get("file_size")) for each in answer.json()["files"]]

    assert await listed(f"{model}/1") == [("data", True, None), ("MLmodel", False, 2)]
    assert await listed(f"{model}/1/data") == [("a", True, None), ("c.bin", False, 0)]
    assert await listed(f"{model}/1/data/c.bin") == [("c.bin", False, 0)]
    assert await listed(f"{model}/1/nothing") == []
    answer = await api.http.get(f"{ARTIFACTS}/{model}/1/data/a/b.bin")
    assert answer.status_code == 302
    assert (await api.http.get(answer.headers["location"])).content == b"bytes"
    for path, status in ((f"{model}/1/nothing", 404), (f"{model}/9/MLmodel", 404), (f"{model}/x/MLmodel", 400)):
        refused = await api.http.get(f"{ARTIFACTS}/{path}")
        assert refused.status_code == status
        assert set(refused.json()) == {"error_code", "message"}


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "code"),
    [
        ("GET", "registered-models/get", {"name": "absent"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "registered-models/get", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "registered-models/get", {"name": "a/b"}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "model-versions/get", {"name": "absent", "version": "one"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/create", {"name": ""}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/get", {"name": "a"}, 404, "ENDPOINT_NOT_FOUND"),
        ("GET", "runs/search", {}, 404, "ENDPOINT_NOT_FOUND"),
        ("DELETE", "registered-models/delete", {"name": "absent"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("POST", "model-versions/create", {"name": "absent", "source": "models:/a/1"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
async def test_errors_have_mlflows_form(
    api: Api, method: str, path: str, given: dict[str, Any], status: int, code: str
) -> None:
    refused = await ask(api, method, path, status, **given)
    assert refused["error_code"] == code
    assert set(refused) == {"error_code", "message"}


async def test_a_body_that_is_no_object_is_refused(api: Api) -> None:
    for body in (b"[]", b"{", b"\xff", b"1"):
        answer = await api.http.post(f"{REGISTRY}/registered-models/create", content=body)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


async def test_another_source_is_refused_with_what_to_do(api: Api, model: str) -> None:
    await api.register(model, FILES)
    for source in ("s3://bucket/model", "/tmp/model", "runs:/0/model", f"models:/{model}/production", "models:/m-1"):
        refused = await ask(api, "POST", "model-versions/create", 400, name=model, source=source)
        assert "modelkeep register" in refused["message"]
    answer = await ask(api, "GET", "model-versions/get-download-uri", name=model, version="1")
    made = await ask(api, "POST", "model-versions/create", name=model, source=answer["artifact_uri"])
    assert made["model_version"]["source"] == answer["artifact_uri"]


async def test_who_may_not_read_a_model_does_not_learn_of_it(settings: Settings, api: Api, model: str) -> None:
    await api.register(model, FILES)
    other = await token_for(settings, allow=["reader"], models=["other-*"], principal="other")
    reader = await token_for(settings, allow=["reader"], principal="reader")
    async with secured(settings) as service:
        http: httpx.AsyncClient = service.anonymous.http

        async def asked(token: str, method: str, at: str, **given: Any) -> tuple[int, Any]:
            header = {"authorization": f"Bearer {token}"} if token else {}
            query, body = (given, None) if method == "GET" else (None, given)
            answer = await http.request(method, at, headers=header, params=query, json=body)
            return answer.status_code, answer.json()

        for path, given in [
            (f"{REGISTRY}/registered-models/get", {}),
            (f"{REGISTRY}/registered-models/alias", {"alias": "production"}),
            (f"{REGISTRY}/model-versions/get", {"version": "1"}),
            (f"{REGISTRY}/model-versions/get-download-uri", {"version": "1"}),
        ]:
            status, refused = await asked(other, "GET", path, name=model, **given)
            assert (status, refused["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), path
            absent = await asked(other, "GET", path, name="other-absent", **given)
            assert (status, refused["message"].replace(model, "other-absent")) == (absent[0], absent[1]["message"])
        status, found = await asked(other, "GET", f"{REGISTRY}/registered-models/search")
        assert (status, found["registered_models"]) == (200, [])
        status, listed = await asked(other, "GET", ARTIFACTS, path=f"{model}/1")
        assert (status, listed["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        move = {"name": model, "version": "1", "stage": "Production"}
        status, refused = await asked(reader, "POST", f"{REGISTRY}/model-versions/transition-stage", **move)
        assert (status, refused["error_code"]) == (403, "PERMISSION_DENIED")
        status, refused = await asked("", "GET", f"{REGISTRY}/registered-models/search")
        assert (status, refused["error_code"]) == (401, "UNAUTHENTICATED")
        assert "MLFLOW_TRACKING_TOKEN" in refused["message"]
        for password, wanted in ((reader, 200), ("wrong", 401)):
            basic = base64.b64encode(f"ann:{password}".encode()).decode()
            answer = await http.get(f"{REGISTRY}/registered-models/search", headers={"authorization": f"Basic {basic}"})
            assert answer.status_code == wanted
        twice = [("authorization", f"Basic {base64.b64encode(f'ann:{reader}'.encode()).decode()}")] * 2
        assert (await http.get(f"{REGISTRY}/registered-models/search", headers=twice)).status_code == 401
