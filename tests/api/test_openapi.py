"""The served OpenAPI document: complete, tidy, and the same as at the last look.

Where it has changed on purpose: `UPDATE_SNAPSHOT=1 uv run pytest tests/api/test_openapi.py`, and read the difference.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelkeep.main import create_app
from modelkeep.settings import Settings
from tests.support.api import BASE

SNAPSHOT = Path(__file__).with_name("openapi.json")

TABLE = {
    "GET /v1/models",
    "GET /v1/models/{model}",
    "PUT /v1/models/{model}",
    "PATCH /v1/models/{model}",
    "DELETE /v1/models/{model}",
    "POST /v1/models/{model}/versions",
    "GET /v1/models/{model}/uploads",
    "GET /v1/models/{model}/versions/{version}/upload",
    "POST /v1/models/{model}/versions/{version}/upload/parts",
    "POST /v1/models/{model}/versions/{version}/complete",
    "DELETE /v1/models/{model}/versions/{version}/upload",
    "GET /v1/models/{model}/versions",
    "GET /v1/models/{model}/versions/{version}",
    "GET /v1/models/{model}/compare",
    "PATCH /v1/models/{model}/versions/{version}",
    "DELETE /v1/models/{model}/versions/{version}",
    "POST /v1/models/{model}/versions/{version}/restore",
    "PUT /v1/models/{model}/versions/{version}/stage",
    "POST /v1/models/{model}/rollback",
    "PUT /v1/models/{model}/aliases/{alias}",
    "DELETE /v1/models/{model}/aliases/{alias}",
    "GET /v1/models/{model}/versions/{ref}/download",
    "GET /v1/models/{model}/versions/{ref}/artifacts/{path}",
    "GET /v1/models/{model}/events",
    "POST /v1/tokens",
    "GET /v1/tokens",
    "DELETE /v1/tokens/{token}",
    "GET /v1/whoami",
    "GET /v1/access",
    "PUT /v1/access",
    "POST /v1/access/explain",
    "POST /v1/auth/token",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}
"""Every route of the contract."""

TABLE |= {route.replace("GET", "HEAD", 1) for route in TABLE if route.startswith("GET")}

OF_TOKENS = (
    *("POST /v1/tokens", "DELETE /v1/tokens/{token}", "POST /v1/auth/token"),
    *("PUT /v1/access", "POST /v1/access/explain"),
)
"""A secret is shown once and not kept, so a repeat cannot show it again: it makes another token.

Rules that are set again are the same, and a question about them changes nothing.
"""


@pytest.fixture(scope="session")
async def document() -> Any:
    app = create_app(Settings(auth="none", backend="local", log_level="WARNING"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        return (await http.get("/openapi.json")).json()


def operations(document: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def parameters(document: Any, operation: Any) -> dict[str, Any]:
    """By name, references followed."""
    found = [
        document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
        for parameter in operation["parameters"]
    ]
    return {parameter["name"]: parameter for parameter in found}


def test_the_document_is_the_snapshot(document: Any) -> None:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOT") == "1":
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


def test_the_document_has_every_route_of_the_contract_and_no_other(document: Any) -> None:
    assert {route for route, _ in operations(document)} == TABLE


def test_every_operation_has_an_id_of_its_own_and_a_description(document: Any) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() for name in ids)
    for route, operation in operations(document):
        assert operation["description"].endswith((".", "`.")), route
        assert len(operation["tags"]) == 1
        for status, response in operation["responses"].items():
            assert response["description"] not in {"", "Successful Response"}, (route, status)


def test_every_failure_is_documented_as_a_problem(document: Any) -> None:
    for route, operation in operations(document):
        failures = {status: answer for status, answer in operation["responses"].items() if status[0] in "45d"}
        assert "default" in failures, route
        if route.startswith("HEAD"):
            continue
        for answer in failures.values():
            assert answer["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }, route
    assert "HTTPValidationError" not in json.dumps(document)
    assert document["components"]["schemas"]["Problem"]["required"]


def test_temporary_failures_document_retry_after(document: Any) -> None:
    for route, operation in operations(document):
        if not route.endswith((" /healthz", " /metrics")):
            assert "Retry-After" in operation["responses"]["503"]["headers"], route


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: Any) -> None:
    text = json.dumps(document)
    for kind, entries in document["components"].items():
        for name in entries:
            if kind == "securitySchemes":
                continue
            assert f'"#/components/{kind}/{name}"' in text, name
            assert name.replace("-", "").isalnum(), name
    used = {part.partition('"')[0] for part in text.split('"$ref": "#/components/')[1:]}
    assert used <= {f"{kind}/{name}" for kind, entries in document["components"].items() for name in entries}


def test_every_answer_carries_the_request_id(document: Any) -> None:
    for route, operation in operations(document):
        assert "X-Request-Id" in parameters(document, operation), route
        assert all("X-Request-Id" in answer["headers"] for answer in operation["responses"].values()), route


def test_whatever_changes_something_takes_an_idempotency_key(document: Any) -> None:
    for route, operation in operations(document):
        expected = not route.startswith(("GET", "HEAD", *OF_TOKENS)) and not route.endswith("/upload/parts")
        assert ("Idempotency-Key" in parameters(document, operation)) == expected, route
        assert ("`idempotency_key_reused`" in operation["responses"].get("422", {}).get("description", "")) == expected


def test_parameters_document_what_they_accept(document: Any) -> None:
    for route, operation in operations(document):
        for name, parameter in parameters(document, operation).items():
            assert parameter["description"].endswith("."), (route, name)
            assert "anyOf" not in parameter["schema"], (route, name)
            if name == "version" and operation["operationId"] not in {"get_version", "head_version"}:
                assert parameter["schema"] == {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
            if name in {"model", "alias", "ref"}:
                assert parameter["schema"]["pattern"].endswith("$"), (route, name)
            if name == "limit":
                assert parameter["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}
            if name == "stage":
                assert parameter["schema"] == {"$ref": "#/components/schemas/Stage"}
    assert document["components"]["schemas"]["Stage"]["enum"] == ["staging", "production", "archived"]


def test_requests_forbid_unknown_fields(document: Any) -> None:
    requests = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for _, operation in operations(document)
        if "requestBody" in operation
    ]
    assert len(requests) == 11
    for name in requests:
        assert document["components"]["schemas"][name]["additionalProperties"] is False, name


def test_answers_without_a_body_are_documented(document: Any) -> None:
    found = dict(operations(document))
    assert all("content" not in found[route]["responses"]["204"] for route in TABLE if route.startswith("DELETE"))
    download = found["GET /v1/models/{model}/versions/{ref}/download"]["responses"]
    assert "ETag" in download["200"]["headers"]
    assert "ETag" in download["304"]["headers"]
    assert "content" not in download["304"]
    redirect = found["GET /v1/models/{model}/versions/{ref}/artifacts/{path}"]["responses"]["307"]
    assert "Location" in redirect["headers"]
    assert "content" not in redirect
    heads = [operation for route, operation in found.items() if route.startswith("HEAD")]
    assert all("content" not in answer for operation in heads for answer in operation["responses"].values())
    begun = found["POST /v1/models/{model}/versions"]["responses"]
    assert begun["201"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/UploadResponse"}


async def test_both_backends_serve_the_same_document(document: Any) -> None:
    app = create_app(Settings(auth="none", backend="aws", bucket="models", log_level="WARNING"))
    assert app.openapi() == document


def test_no_two_addresses_differ_only_in_the_names_of_their_parameters(document: Any) -> None:
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]]
    assert len(set(shapes)) == len(shapes)
