"""All that a caller can do, and which routes were answered on the way."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from modelkeep.domain.access.trust import IssuerKind
from tests.support.access import secured
from tests.support.api import Api
from tests.support.backends import environment
from tests.support.iam_site import Site
from tests.support.issuers import AUDIENCE, issuer_server

FILES = {"model.pt": b"weights", "config/tokenizer.json": b"{}"}


@contextmanager
def noting_answers(api: Api) -> Iterator[list[httpx.Response]]:
    """Collect what the service and its storage answer."""
    answers: list[httpx.Response] = []

    async def note(answer: httpx.Response) -> None:
        answers.append(answer)

    before = api.http.event_hooks
    api.http.event_hooks = {**before, "response": [*before["response"], note]}
    try:
        yield answers
    finally:
        api.http.event_hooks = before


def unanswered(document: Any, answers: list[httpx.Response]) -> set[str]:
    """The operations of an OpenAPI document that none of these is a good answer of."""
    good = {(a.request.method, a.request.url.path) for a in answers if a.status_code < 400}
    operations = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    return {
        f"{method} {path}"
        for method, path in operations
        if not any(method == asked and _pattern(path).fullmatch(place) for asked, place in good)
    }


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{path}", ".+")))


async def walk(api: Api, model: str) -> None:
    """Ask for everything once, and twice under a key where a repeat must find it done."""
    await _register(api, model)
    await _read(api, model)
    await _change(api, model)
    await _remove(api, model)
    await _tokens(api)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await api.http.get(path)).status_code == 200


async def _register(api: Api, model: str) -> None:
    begun = await api.begin(model, FILES, key="first", multipart=True)
    assert (await api.begin(model, FILES, key="first", multipart=True))["version"] == begun["version"] == 1
    await api.upload(begun, FILES)
    await api.ask("GET", f"/{model}/versions/1/upload")
    for _ in range(2):
        await api.complete(model, 1)
    await api.register(model, FILES)
    await api.begin(model, FILES, multipart=True)
    await api.ask("DELETE", f"/{model}/versions/3/upload", status=204)


async def _read(api: Api, model: str) -> None:
    assert model in [found["model"] async for found in api.walk("")]
    assert len([version async for version in api.walk(f"/{model}/versions")]) == 2
    await api.ask("GET", f"/{model}/versions/latest")
    assert await api.fetch(model, "2") == FILES
    answer = await api.http.get(f"/v1/models/{model}/versions/1/artifacts/config/tokenizer.json")
    assert answer.status_code == 307
    assert (await api.http.get(answer.headers["location"])).content == b"{}"


async def _change(api: Api, model: str) -> None:
    await api.ask("PATCH", f"/{model}", {"description": "finds fraud"})
    await api.ask("PATCH", f"/{model}/versions/2", {"metrics": {"f1": 0.9}})
    await api.ask("PUT", f"/{model}/aliases/canary", {"version": 1})
    for number in (1, 2):
        await api.promote(model, number)
    key = {"idempotency-key": "back"}
    for _ in range(2):
        await api.ask("POST", f"/{model}/rollback", {}, headers=key)
    found = await api.model(model)
    assert found["production_version"] == 1
    assert len(await api.events(model)) == found["generation"]


async def _remove(api: Api, model: str) -> None:
    await api.ask("DELETE", f"/{model}/versions/2", status=204)
    await api.ask("POST", f"/{model}/versions/2/restore")
    await api.ask("DELETE", f"/{model}/aliases/canary", status=204)
    await api.ask("PUT", f"/{model}/versions/1/stage", {"stage": "archived"})
    await api.ask("DELETE", f"/{model}", status=204)


async def _tokens(api: Api) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"principal": "ci", "allow": ["reader"], "models": ["*"], "expires_at": end}
    made = await api.http.post("/v1/tokens", json=body)
    assert made.status_code == 201, made.text
    assert (await api.http.get("/v1/tokens")).json()["items"]
    assert (await api.http.delete(f"/v1/tokens/{made.json()['id']}")).status_code == 204


async def exchange_an_identity(site: Site) -> httpx.Response:
    """Trust an issuer, by a file that goes into the table, and come with its token to a service that asks for one."""
    with issuer_server(IssuerKind.KUBERNETES) as issuer, environment(site.variables) as settings:
        rule = {"id": "serving", "issuer": "cluster", "match": {"sub": issuer.claims()["sub"]}, "allow": ["reader"]}
        trust = {"issuers": {"cluster": {"kind": "kubernetes", "url": issuer.url, "audience": [AUDIENCE]}}}
        file = site.folder / "access.json"
        file.write_text(json.dumps({**trust, "rules": [rule]}))
        await site.run("access", "set", str(file))
        async with secured(settings) as service:
            bearer = {"authorization": f"Bearer {issuer.token()}"}
            answer = await service.nobody.http.post("/v1/auth/token", headers=bearer)
            assert answer.status_code == 200, answer.text
            await service.bearer(answer.json()["access_token"]).ask("GET", "")
    return answer
