"""The headers that all answers have in common, on every route and for every cause."""

from typing import Any

import httpx
import pytest

from modelkeep.services.models import ModelService
from tests.support.api import PRODUCTION, Api, Shelf

FOREIGN = {"origin": "https://elsewhere.example", "access-control-request-method": "PUT"}
"""What a browser sends with a call that a page of another site makes."""


def check_headers(answer: httpx.Response) -> None:
    """It is not cached, its type is not guessed, nothing in it runs, and no page of another site can read it."""
    about = (answer.request.method, answer.request.url, answer.status_code)
    assert answer.headers.get_list("cache-control") == ["no-store"], about
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"], about
    assert answer.headers.get_list("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"], about
    assert len(answer.headers.get_list("x-request-id")) == 1, about
    assert not [name for name in answer.headers if name.startswith("access-control-")], about
    assert "server" not in answer.headers, about
    assert "connection" not in answer.headers, about


def filled(path: str, model: str) -> str:
    version = {"model": model, "version": PRODUCTION, "ref": PRODUCTION, "path": "model.pt"}
    return path.format_map({**version, "alias": "champion", "token": "absent"})


async def operations(api: Api) -> list[tuple[str, str]]:
    document: dict[str, Any] = (await api.http.get("/openapi.json")).json()
    return [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]


async def test_every_route_answers_with_the_common_headers(api: Api, shelf: Shelf) -> None:
    seen = set()
    for method, path in await operations(api):
        model = shelf.model if method == "GET" else "absent"
        for sent in (FOREIGN, {}):
            answer = await api.http.request(method, filled(path, model), headers=sent)
            check_headers(answer)
            seen.add(answer.status_code)
    assert seen >= {200, 307, 403, 404, 422}


async def test_problems_of_every_layer_have_the_common_headers(
    api: Api, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(ModelService, "get", fail)
    found = {
        400: await api.http.get("/v1/models/%00"),
        404: await api.http.get("/nowhere"),
        405: await api.http.options("/v1/models", headers=FOREIGN),
        413: await api.http.patch(f"/v1/models/{shelf.model}", content=b"x" * (2 * 1024 * 1024 + 1)),
        422: await api.http.get("/v1/models/-"),
        500: await api.http.get(f"/v1/models/{shelf.model}"),
    }
    for status, answer in found.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        check_headers(answer)


async def test_an_answer_without_a_body_has_the_common_headers(api: Api, shelf: Shelf) -> None:
    address = f"/v1/models/{shelf.model}/versions/production/download"
    known = (await api.http.get(address)).headers["etag"]
    answer = await api.http.get(address, headers={"if-none-match": known})
    assert answer.status_code == 304
    check_headers(answer)
