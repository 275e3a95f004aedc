"""The shape of failure: one row for each way to fail, over every route; and whatever fails writes nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelkeep.domain.errors import ContentionError, OutcomeUnknownError, RegistryError, UnavailableError
from modelkeep.domain.uploads import GIB
from modelkeep.services.models import ModelService
from tests.support.api import ARCHIVED, COMMON, OPEN, PRODUCTION, STAGING, TRASHED, Api, Shelf, check_problem

JSON = {"content-type": "application/json"}
MIB = 1024 * 1024
ZEROS = "0" * 64
ARTIFACT = {"path": "model.pt", "size": 1, "sha256": ZEROS}
REGISTRATION = {"artifacts": [ARTIFACT]}

WITH_BODY = [
    ("PATCH", "/{model}"),
    ("POST", "/{model}/versions"),
    ("POST", f"/{{model}}/versions/{OPEN}/upload/parts"),
    ("PATCH", f"/{{model}}/versions/{STAGING}"),
    ("PUT", f"/{{model}}/versions/{STAGING}/stage"),
    ("POST", "/{model}/rollback"),
    ("PUT", "/{model}/aliases/another"),
]
"""Every route that takes a body."""

WITHOUT_BODY = [
    ("DELETE", "/{model}"),
    ("POST", f"/{{model}}/versions/{OPEN}/complete"),
    ("DELETE", f"/{{model}}/versions/{OPEN}/upload"),
    ("DELETE", f"/{{model}}/versions/{STAGING}"),
    ("POST", f"/{{model}}/versions/{TRASHED}/restore"),
    ("DELETE", "/{model}/aliases/champion"),
]
"""Every other route that changes something."""

READING = [
    "/{model}",
    "/{model}/versions",
    "/{model}/versions/1",
    "/{model}/versions/5/upload",
    "/{model}/versions/1/download",
    "/{model}/versions/1/artifacts/model.pt",
    "/{model}/events",
]
"""Every route of one model that changes nothing."""

BODIES: dict[str, Any] = {
    "/{model}/versions": REGISTRATION,
    f"/{{model}}/versions/{OPEN}/upload/parts": {"path": "large.bin", "parts": [{"number": 1, "sha256": ZEROS}]},
    f"/{{model}}/versions/{STAGING}/stage": {"stage": "production"},
    "/{model}/rollback": {"expected_production": PRODUCTION},
    "/{model}/aliases/another": {"version": ARCHIVED},
}


def body_of(path: str) -> Any:
    """A body that the route would accept."""
    return BODIES.get(path, {"description": "changed"})


# -- what is not there, and what cannot be done


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/absent", None, 404, "model_not_found"),
        ("PATCH", "/absent", {}, 404, "model_not_found"),
        ("DELETE", "/absent", None, 404, "model_not_found"),
        ("GET", "/absent/versions", None, 404, "model_not_found"),
        ("GET", "/absent/versions/1", None, 404, "model_not_found"),
        ("GET", "/absent/versions/production", None, 404, "model_not_found"),
        ("GET", "/absent/versions/1/download", None, 404, "model_not_found"),
        ("GET", "/absent/versions/1/artifacts/model.pt", None, 404, "model_not_found"),
        ("GET", "/absent/versions/1/upload", None, 404, "upload_not_found"),
        ("DELETE", "/absent/versions/1/upload", None, 404, "model_not_found"),
        ("POST", "/absent/versions/1/upload/parts", BODIES[WITH_BODY[2][1]], 404, "upload_not_found"),
        ("POST", "/absent/versions/1/complete", None, 404, "model_not_found"),
        ("PATCH", "/absent/versions/1", {}, 404, "model_not_found"),
        ("DELETE", "/absent/versions/1", None, 404, "model_not_found"),
        ("POST", "/absent/versions/1/restore", None, 404, "version_not_found"),
        ("PUT", "/absent/versions/1/stage", {"stage": "production"}, 404, "model_not_found"),
        ("POST", "/absent/rollback", {"expected_production": 1}, 404, "model_not_found"),
        ("PUT", "/absent/aliases/champion", {"version": 1}, 404, "model_not_found"),
        ("DELETE", "/absent/aliases/champion", None, 404, "model_not_found"),
        ("GET", "/absent/events", None, 404, "model_not_found"),
        ("DELETE", "/{model}", None, 409, "model_not_empty"),
        ("GET", f"/{{model}}/versions/{TRASHED}", None, 404, "version_not_found"),
        ("GET", f"/{{model}}/versions/{OPEN}", None, 404, "version_not_found"),
        ("PATCH", f"/{{model}}/versions/{OPEN}", {"description": "x"}, 404, "version_not_found"),
        ("PATCH", f"/{{model}}/versions/{TRASHED}", {"description": "x"}, 404, "version_not_found"),
        ("DELETE", f"/{{model}}/versions/{PRODUCTION}", None, 409, "version_in_use"),
        ("DELETE", f"/{{model}}/versions/{OPEN}", None, 404, "version_not_found"),
        ("DELETE", f"/{{model}}/versions/{TRASHED}", None, 404, "version_not_found"),
        ("POST", f"/{{model}}/versions/{STAGING}/restore", None, 409, "version_not_deleted"),
        ("POST", f"/{{model}}/versions/{OPEN}/restore", None, 404, "version_not_found"),
        ("PUT", f"/{{model}}/versions/{OPEN}/stage", {"stage": "production"}, 404, "version_not_found"),
        ("PUT", f"/{{model}}/versions/{TRASHED}/stage", {"stage": "production"}, 404, "version_not_found"),
        (
            "PUT",
            f"/{{model}}/versions/{STAGING}/stage",
            {"stage": "production", "expected_production": None},
            412,
            "production_changed",
        ),
        (
            "PUT",
            f"/{{model}}/versions/{ARCHIVED}/stage",
            {"stage": "production", "only_newer": True},
            409,
            "not_newer",
        ),
        ("POST", "/{model}/rollback", None, 428, "precondition_required"),
        ("POST", "/{model}/rollback", {"expected_production": ARCHIVED}, 412, "production_changed"),
        ("POST", f"/{{model}}/versions/{OPEN}/complete", None, 409, "upload_incomplete"),
        ("POST", "/{model}/versions/6/complete", None, 404, "upload_not_found"),
        ("GET", "/{model}/versions/6/upload", None, 404, "upload_not_found"),
        ("DELETE", f"/{{model}}/versions/{STAGING}/upload", None, 404, "upload_not_found"),
        ("GET", "/{model}/versions/2/artifacts/absent", None, 404, "artifact_not_found"),
        ("PUT", "/{model}/aliases/production", {"version": 1}, 409, "alias_reserved"),
        ("PUT", "/{model}/aliases/another", {"version": 99}, 404, "version_not_found"),
        ("DELETE", "/{model}/aliases/absent", None, 404, "alias_not_found"),
        ("GET", "?limit=0", None, 422, "invalid_request"),
        ("GET", "?limit=101", None, 422, "invalid_request"),
        ("GET", "?limit=x", None, 422, "invalid_request"),
        ("GET", "?prefix=%C3%A4", None, 422, "invalid_request"),
        ("GET", f"?prefix={'a' * 97}", None, 422, "invalid_request"),
        ("GET", "?cursor=x", None, 400, "invalid_cursor"),
        ("GET", "/{model}/versions?limit=0", None, 422, "invalid_request"),
        ("GET", "/{model}/versions?limit=-1", None, 422, "invalid_request"),
        ("GET", f"/{{model}}/versions?limit={'9' * 5000}", None, 422, "invalid_request"),
        ("GET", "/{model}/versions?stage=Production", None, 422, "invalid_request"),
        ("GET", "/{model}/versions?stage=", None, 422, "invalid_request"),
        ("GET", "/{model}/versions?cursor=x", None, 400, "invalid_cursor"),
        ("GET", "/{model}/versions?cursor=%00%FF", None, 400, "invalid_cursor"),
        ("GET", "/{model}/events?limit=101", None, 422, "invalid_request"),
        ("GET", "/{model}/events?after=-1", None, 422, "invalid_request"),
        ("GET", "/{model}/events?after=9999999999999999999", None, 422, "invalid_request"),
        ("GET", "/{model}/events?after=x", None, 422, "invalid_request"),
        ("GET", "/{model}/events?cursor=x", None, 400, "invalid_cursor"),
    ],
)
async def test_each_failure_has_its_status_and_code(
    api: Api, shelf: Shelf, method: str, path: str, body: Any, status: int, code: str
) -> None:
    await api.problem(method, path.replace("{model}", shelf.model), body, status=status, code=code)
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize(
    "name", ["BAD%20NAME", "-a", "a-", ".a", "a.", "a..b", "a--b", "a.git", "a" * 97, "_a", "%C3%A4", "a@b", "$head"]
)
async def test_a_name_that_no_model_has_is_refused_on_every_route(api: Api, name: str) -> None:
    for method, path in WITH_BODY:
        address = path.replace("{model}", name)
        refused = await api.problem(method, address, body_of(path), status=422, code="invalid_request")
        assert refused["errors"][0]["location"] == "path.model"
    for method, path in [*WITHOUT_BODY, *(("GET", path) for path in READING)]:
        await api.problem(method, path.replace("{model}", name), status=422, code="invalid_request")


@pytest.mark.parametrize(
    "segment",
    [
        "%00",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        "%2e%2e",
        "%2E%2e",
        "%ff",
        "%C3",
        "%c0%ae",
        "/",
        "a//b",
        "a" * 2048,
        "%61" * 700,
    ],
)
async def test_a_path_that_no_route_accepts_is_malformed(api: Api, segment: str) -> None:
    for method, path in [*WITH_BODY, *WITHOUT_BODY, *(("GET", path) for path in READING)]:
        answer = await api.http.request(method, f"/v1/models{path.replace('{model}', segment)}")
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_path")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_address_is_not_found(api: Api) -> None:
    for path in (
        "/nowhere",
        "/v1",
        "/v2/models",
        "/v1/models/",
        "/v1/models/a/",
        "/v1/models/a/versions/",
        "/v1/models/a/versions/1/",
        "/v1/models/a/versions/1/nothing",
        "/v1/models/a/aliases",
        "/healthz/",
        "/docs",
        "/favicon.ico",
    ):
        for method in ("GET", "POST", "DELETE"):
            check_problem(await api.http.request(method, path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/a", "GET, HEAD, PUT, PATCH, DELETE"),
        ("/v1/models/a/versions", "GET, HEAD, POST"),
        ("/v1/models/a/versions/1", "GET, HEAD, PATCH, DELETE"),
        ("/v1/models/a/versions/1/upload", "GET, HEAD, DELETE"),
        ("/v1/models/a/versions/1/upload/parts", "POST"),
        ("/v1/models/a/versions/1/complete", "POST"),
        ("/v1/models/a/versions/1/restore", "POST"),
        ("/v1/models/a/versions/1/stage", "PUT"),
        ("/v1/models/a/versions/1/download", "GET, HEAD"),
        ("/v1/models/a/versions/1/artifacts/b", "GET, HEAD"),
        ("/v1/models/a/rollback", "POST"),
        ("/v1/models/a/aliases/b", "PUT, DELETE"),
        ("/v1/models/a/events", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
async def test_another_method_is_answered_with_those_that_are_allowed(api: Api, path: str, allowed: str) -> None:
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - set(allowed.split(", "))
    for method in sorted(methods):
        answer = await api.http.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


# -- bodies that cannot be read


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"}",
        b"{]",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a" 1}',
        b'{"a": 1} x',
        b"\xff\xfe\xfd",
        b'{"a": "\xff"}',
        b'{"a": "\x01"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"artifacts":' * 50_000 + b"1" + b"}" * 50_000,
        b" ",
        b"\x00",
    ],
    ids=lambda raw: repr(raw[:12]),
)
async def test_a_body_that_cannot_be_read_is_malformed(api: Api, shelf: Shelf, raw: bytes) -> None:
    for method, path in WITH_BODY:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        check_problem(await api.http.request(method, address, content=raw, headers=JSON), 400, "malformed")
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize("raw", [b"null", b"[]", b"1", b'"text"', b"true", b"NaN"], ids=repr)
async def test_a_body_that_is_no_object_is_refused_with_advice(api: Api, shelf: Shelf, raw: bytes) -> None:
    for method, path in WITH_BODY:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        answer = await api.http.request(method, address, content=raw, headers=JSON)
        assert "JSON object" in check_problem(answer, 422, "invalid_request")["detail"]
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/json",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "json",
        "*/*",
        ";",
    ],
)
async def test_a_body_of_another_type_is_refused_with_advice(api: Api, shelf: Shelf, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    for method, path in WITH_BODY:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        raw = json.dumps(body_of(path)).encode()
        answer = await api.http.request(method, address, content=raw, headers=headers)
        assert "Content-Type: application/json" in check_problem(answer, 422, "invalid_request")["detail"]
    assert await api.generation(shelf.model) == shelf.generation


async def test_an_empty_body_is_refused_where_one_is_needed(api: Api, shelf: Shelf) -> None:
    for method, path in WITH_BODY:
        status, code = (428, "precondition_required") if path.endswith("/rollback") else (422, "invalid_request")
        await api.problem(method, path.replace("{model}", shelf.model), status=status, code=code)
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize(
    "name", ["x", "Stage", "", "__proto__", "a" * 5000, "\ud800"], ids=lambda name: ascii(name[:9])
)
async def test_an_unknown_field_is_refused(api: Api, shelf: Shelf, name: str) -> None:
    for method, path in WITH_BODY:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        raw = json.dumps({**body_of(path), name: 1}).encode()
        answer = await api.http.request(method, address, content=raw, headers=JSON)
        check_problem(answer, 422, "invalid_request")
        assert len(answer.content) < 2000
    assert await api.generation(shelf.model) == shelf.generation


async def test_of_a_field_that_is_named_twice_the_last_counts(api: Api, shelf: Shelf) -> None:
    for raw in (
        b'{"stage": "production", "stage": "nothing"}',
        b'{"stage": "production", "expected_production": 2, "expected_production": true}',
    ):
        address = f"/v1/models/{shelf.model}/versions/{STAGING}/stage"
        check_problem(await api.http.put(address, content=raw, headers=JSON), 422, "invalid_request")
    assert await api.generation(shelf.model) == shelf.generation


# -- bodies over a limit


async def pieces(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 65536):
        yield raw[start : start + 65536]


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_body_over_two_mebibytes_is_too_large(api: Api, shelf: Shelf, keyed: bool) -> None:
    raw = b"{" + b" " * (2 * MIB)
    headers = JSON | ({"idempotency-key": "large"} if keyed else {})
    for method, path in [*WITH_BODY, *(WITHOUT_BODY if keyed else [])]:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        for content in (raw, pieces(raw)):
            answer = await api.http.request(method, address, content=content, headers=headers)
            assert check_problem(answer, 413, "request_too_large")["limit"] == 2 * MIB
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize("announced", ["2097153", "9" * 5000])
async def test_an_announced_length_is_believed(api: Api, shelf: Shelf, announced: str) -> None:
    for method, path in [*WITH_BODY, *WITHOUT_BODY]:
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        answer = await api.http.request(method, address, content=b"{}", headers=JSON | {"content-length": announced})
        check_problem(answer, 413, "request_too_large")


async def test_a_body_of_two_mebibytes_is_read(api: Api, model: str) -> None:
    raw = json.dumps(REGISTRATION).encode().ljust(2 * MIB)
    for content in (raw, pieces(raw)):
        answer = await api.http.post(f"/v1/models/{model}/versions", content=content, headers=JSON)
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        (
            {"artifacts": [ARTIFACT | {"path": f"{i:04}{'x' * 250}/{'y' * 50}"} for i in range(1000)]},
            "metadata_too_large",
            {"limit": 350 * 1024},
        ),
        (
            {"artifacts": [ARTIFACT | {"path": f"{i}"} for i in range(1001)]},
            "too_many_artifacts",
            {"count": 1001, "limit": 1000},
        ),
        (
            {"artifacts": [ARTIFACT | {"size": 5000 * GIB + 1}]},
            "artifact_too_large",
            {"path": "model.pt", "size": 5000 * GIB + 1, "limit": 5000 * GIB},
        ),
        (
            {"artifacts": [ARTIFACT | {"size": 4000 * GIB}, ARTIFACT | {"path": "b", "size": 1120 * GIB + 1}]},
            "artifact_too_large",
            {"path": None, "size": 5120 * GIB + 1, "limit": 5120 * GIB},
        ),
        (
            {"artifacts": [ARTIFACT | {"size": 10**400}]},
            "artifact_too_large",
            {"path": "model.pt", "size": 10**400},
        ),
    ],
    ids=["metadata", "artifacts", "artifact", "version", "huge"],
)
async def test_a_registration_over_a_limit_is_refused_before_anything_is_written(
    api: Api, model: str, body: Any, code: str, fields: Any
) -> None:
    refused = await api.problem("POST", f"/{model}/versions", body, status=413, code=code)
    assert refused == refused | fields
    await api.problem("GET", f"/{model}", status=404, code="model_not_found")
    await api.problem("GET", f"/{model}/events", status=404, code="model_not_found")


# -- values outside their rules


def registration(**fields: Any) -> Any:
    return REGISTRATION | fields


def artifacts(*changes: dict[str, Any]) -> Any:
    return {"artifacts": [ARTIFACT | change for change in changes]}


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, "artifacts"),
        (registration(artifacts=[]), "artifacts"),
        (registration(artifacts={}), "artifacts"),
        (registration(artifacts=None), "artifacts"),
        (registration(artifacts=["model.pt"]), "artifacts.0"),
        (registration(artifacts=[{}]), "artifacts.0.path"),
        (artifacts({"mode": 644}), "artifacts.0.mode"),
        (artifacts({"size": -1}), "artifacts.0.size"),
        (artifacts({"size": "1"}), "artifacts.0.size"),
        (artifacts({"size": 1.0}), "artifacts.0.size"),
        (artifacts({"size": 1.5}), "artifacts.0.size"),
        (artifacts({"size": True}), "artifacts.0.size"),
        (artifacts({"size": None}), "artifacts.0.size"),
        (artifacts({"size": -(10**400)}), "artifacts.0.size"),
        (artifacts({"sha256": ""}), "artifacts.0.sha256"),
        (artifacts({"sha256": "0" * 63}), "artifacts.0.sha256"),
        (artifacts({"sha256": "0" * 65}), "artifacts.0.sha256"),
        (artifacts({"sha256": "A" * 64}), "artifacts.0.sha256"),
        (artifacts({"sha256": "g" * 64}), "artifacts.0.sha256"),
        (artifacts({"sha256": ZEROS + "\n"}), "artifacts.0.sha256"),
        (artifacts({"sha256": "\u0660" * 64}), "artifacts.0.sha256"),
        (artifacts({"sha256": 0}), "artifacts.0.sha256"),
        (artifacts({"sha256": None}), "artifacts.0.sha256"),
        *(
            (artifacts({"path": path}), "artifacts.0.path")
            for path in [
                "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "./a", "a\\b", "a\0b", "a\nb", " a",
                "a ", "a/ b", "a\u0308", "\u202ea", "a\u2028", "a\u200b", "\ue000", "\uffff", "\ud800", "\u00a0a",
                "x" * 256, "x/" * 32 + "x", "ü" * 128,
                f"{'x' * 250}/{'y' * 250}/{'z' * 20}", 1, None, ["a"],
            ]
        ),
        (artifacts({}, {}), "artifacts"),
        (artifacts({}, {"path": "MODEL.pt"}), "artifacts"),
        (artifacts({"path": "größe"}, {"path": "GRÖSSE"}), "artifacts"),
        (artifacts({"path": "a"}, {"path": "a/b"}), "artifacts"),
        (artifacts({"path": "A/b"}, {"path": "a"}), "artifacts"),
        (artifacts({"path": "a/b"}, {"path": "a-b"}, {"path": "A"}), "artifacts"),
        (registration(framework=""), "framework"),
        (registration(framework="x" * 65), "framework"),
        (registration(framework="a\x00b"), "framework"),
        (registration(description=1), "description"),
        (registration(description=None), "description"),
        (registration(description="x" * 4097), "description"),
        (registration(description="ä" * 2049), "description"),
        (registration(description="a\x07b"), "description"),
        (registration(description="\ud800"), "description"),
        (registration(multipart="yes"), "multipart"),
        (registration(multipart=1), "multipart"),
        (registration(metrics=[]), "metrics"),
        (registration(metrics=None), "metrics"),
        (registration(metrics={"a": "1"}), "metrics.a"),
        (registration(metrics={"a": True}), "metrics.a"),
        (registration(metrics={"a": None}), "metrics.a"),
        (registration(metrics={"a": {}}), "metrics.a"),
        (registration(metrics={"a": float("nan")}), "metrics.a"),
        (registration(metrics={"a": float("inf")}), "metrics.a"),
        (registration(metrics={"a": float("-inf")}), "metrics.a"),
        (registration(metrics={"a": 1e126}), "metrics.a"),
        (registration(metrics={"a": 1e-131}), "metrics.a"),
        (registration(metrics={"a": 10**400}), "metrics.a"),
        (registration(metrics={"a": 2**53 + 1}), "metrics.a"),
        (registration(metrics={"": 1}), "metrics."),
        (registration(metrics={"x" * 129: 1}), f"metrics.{'x' * 129}"),
        (registration(metrics={"\ud800": 1}), "metrics.\ufffd\ufffd\ufffd"),
        (registration(metrics={f"{i}": 1 for i in range(201)}), "metrics"),
        (registration(tags={"a": 1}), "tags.a"),
        (registration(tags={"a": None}), "tags.a"),
        (registration(tags={"a": "x" * 1025}), "tags.a"),
        (registration(tags={"a": "\ud800"}), "tags.a"),
        (registration(tags={"a": "\x00"}), "tags.a"),
        (registration(tags={"": "x"}), "tags."),
        (registration(tags={f"{i}": "x" for i in range(65)}), "tags"),
        ({"from": None}, "artifacts"),
        ({"from": {"model": "a"}}, "from.version"),
        ({"from": {"model": "a/b", "version": 1}}, "from.model"),
        ({"from": {"model": "a", "version": "1"}}, "from.version"),
        ({"from": {"model": "a", "version": 0}}, "from.version"),
        ({"from": {"model": "a", "version": 1, "ref": "x"}}, "from.ref"),
        (registration(**{"from": {"model": "a", "version": 1}}), "artifacts"),
        ({"from": {"model": "a", "version": 1}, "empty_folders": ["b"]}, "empty_folders"),
        ({"from": {"model": "a", "version": 1}, "multipart": True}, "multipart"),
        ({"from": {"model": "a", "version": 1}, "reuse": False}, "reuse"),
        ({"from": {"model": "a", "version": 1}, "reuse_from": [1]}, "reuse_from"),
        ({"from_": {"model": "a", "version": 1}}, "artifacts"),
        (registration(run_id=""), "run_id"),
        (registration(run_id="x" * 129), "run_id"),
        (registration(run_id=7), "run_id"),
        (registration(source=""), "source"),
        (registration(source="x" * 1025), "source"),
        (registration(source="\x00"), "source"),
    ],
)  # fmt: skip
async def test_a_registration_outside_the_rules_is_refused_by_place(
    api: Api, model: str, body: Any, location: str
) -> None:
    raw = json.dumps(body).encode()
    answer = await api.http.post(f"/v1/models/{model}/versions", content=raw, headers=JSON)
    refused = check_problem(answer, 422, "invalid_request")
    assert refused["errors"][0].keys() == {"location", "message"}
    assert refused["errors"][0]["location"] == f"body.{location}"
    assert refused["detail"].startswith(refused["errors"][0]["location"])
    await api.problem("GET", f"/{model}", status=404, code="model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *(
            ("PUT", f"/{{model}}/versions/{STAGING}/stage", body)
            for body in [
                {}, {"stage": None}, {"stage": "Production"}, {"stage": "none"}, {"stage": 1}, {"stage": ["staging"]},
                {"stage": "production", "expected_production": "2"},
                {"stage": "production", "expected_production": 2.0},
                {"stage": "production", "expected_production": True},
                {"stage": "production", "expected_production": 0},
                {"stage": "production", "expected_production": -1},
                {"stage": "production", "expected_production": 2**32},
                {"stage": "production", "only_newer": "true"},
                {"stage": "production", "only_newer": 1},
                {"stage": "production", "only_newer": None},
                {"stage": "production", "comment": 1},
                {"stage": "production", "comment": "x" * 1025},
                {"stage": "production", "comment": "\u00e4" * 513},
                {"stage": "production", "comment": "a\x00"},
            ]
        ),
        *(
            ("POST", "/{model}/rollback", body)
            for body in [
                {"expected_production": "2"}, {"expected_production": True}, {"expected_production": 0},
                {"stage": "production"}, {"expected_production": 2, "comment": "x" * 1025},
            ]
        ),
        *(
            ("PUT", "/{model}/aliases/another", body)
            for body in [
                {}, {"version": None}, {"version": "1"}, {"version": "v1"}, {"version": 1.0}, {"version": True},
                {"version": 0}, {"version": 2**32}, {"version": 1, "comment": []},
            ]
        ),
        *(
            ("PATCH", f"/{{model}}/versions/{STAGING}", body)
            for body in [
                {"stage": "production"}, {"version": 4}, {"metrics": {"a": "1"}}, {"metrics": {"a": float("nan")}},
                {"metrics": {"a": True}}, {"metrics": {"a": 2**53 + 1}},
                {"tags": {"a": 1}}, {"tags": []}, {"description": 1}, {"description": "x" * 4097},
                {"metrics": {f"{i}": 1 for i in range(201)}}, {"tags": {f"{i}": None for i in range(65)}},
            ]
        ),
        *(
            ("PUT", "/{model}", body)
            for body in [
                {"model": "other"}, {"tags": {"a": 1}}, {"tags": {"a": None}}, {"tags": None}, {"description": None},
                {"description": "x" * 4097}, {"aliases": {}},
            ]
        ),
        *(
            ("PATCH", "/{model}", body)
            for body in [
                {"model": "other"}, {"tags": {"a": 1}}, {"tags": "x"}, {"description": ["x"]}, {"metrics": {}},
                {"description": "x" * 4097}, {"aliases": {}}, {"production_version": 3},
            ]
        ),
    ],
)  # fmt: skip
async def test_a_change_outside_the_rules_is_refused(api: Api, shelf: Shelf, method: str, path: str, body: Any) -> None:
    address = f"/v1/models{path.replace('{model}', shelf.model)}"
    answer = await api.http.request(method, address, content=json.dumps(body).encode(), headers=JSON)
    assert check_problem(answer, 422, "invalid_request")["errors"][0]["location"].startswith("body")
    assert await api.generation(shelf.model) == shelf.generation


async def test_at_most_twenty_faults_are_listed(api: Api, model: str) -> None:
    body = artifacts(*({"path": f"{number}", "size": -1} for number in range(50)))
    refused = await api.problem("POST", f"/{model}/versions", body, status=422, code="invalid_request")
    assert len(refused["errors"]) == 20


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", b"\xe4", b"a\x7f"], ids=repr)
async def test_a_malformed_idempotency_key_is_refused(api: Api, shelf: Shelf, key: str | bytes) -> None:
    for method, path in [*WITH_BODY, *WITHOUT_BODY]:
        if path.endswith("/upload/parts"):
            continue
        address = f"/v1/models{path.replace('{model}', shelf.model)}"
        body = body_of(path) if (method, path) in WITH_BODY else None
        request = api.http.build_request(method, address, json=body)
        request.headers = type(request.headers)([*request.headers.raw, (b"idempotency-key", as_bytes(key))])
        refused = check_problem(await api.http.send(request), 422, "invalid_request")
        assert refused["errors"][0]["location"] == "header.Idempotency-Key"
    assert await api.generation(shelf.model) == shelf.generation


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


# -- when it is not the caller's fault


@pytest.mark.parametrize(
    ("error", "code", "fields"),
    [
        (UnavailableError("The table does not answer."), "unavailable", {}),
        (ContentionError("m"), "contention", {"model": "m"}),
        (OutcomeUnknownError("m"), "outcome_unknown", {"model": "m"}),
    ],
)
async def test_temporary_failures_have_a_retry_after(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: RegistryError, code: str, fields: dict[str, str]
) -> None:
    monkeypatch.setattr(ModelService, "edit", raising(error))
    answer = await api.http.patch("/v1/models/m", json={})
    problem = check_problem(answer, 503, code)
    assert {name: value for name, value in problem.items() if name not in COMMON} == fields
    assert problem["detail"] == str(error)
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "error", [RuntimeError("s3cret"), KeyError("s3cret"), ExceptionGroup("s3cret", [ValueError("s3cret")])]
)
async def test_an_unhandled_exception_leaks_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(ModelService, "get", raising(error))
    answer = await api.http.get("/v1/models/m", headers={"x-request-id": "unlucky"})
    problem = check_problem(answer, 500, "internal_error")
    assert problem["request_id"] == "unlucky"
    assert set(problem) == COMMON
    for secret in ("s3cret", "Error(", "Traceback", "/app/", ".py"):
        assert secret not in answer.text


async def test_concurrent_requests_keep_their_own_ids(api: Api) -> None:
    ids = [f"request-{number}" for number in range(50)]
    answers = await asyncio.gather(
        *(api.http.get("/v1/models/absent", headers={"x-request-id": request_id}) for request_id in ids)
    )
    assert [check_problem(answer, 404, "model_not_found")["request_id"] for answer in answers] == ids


@pytest.mark.parametrize("host", ["", "[", "a/b?c#d", "a b", "x" * 1000])
async def test_a_strange_host_changes_nothing(api: Api, host: str) -> None:
    answer = await api.http.get("/v1/models/absent", headers={"host": host})
    assert check_problem(answer, 421, "foreign_host")["instance"] == "/v1/models/absent"


def raising(error: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail
