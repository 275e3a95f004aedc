"""The fast path of a download, which bypasses the framework, gives the same answers as the ordinary route."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from asgi_lifespan import LifespanManager
from prometheus_client.parser import text_string_to_metric_families

from modelkeep.http.middleware import access_log
from modelkeep.main import create_app
from modelkeep.routers.download_fast_path import DownloadFastPath
from modelkeep.settings import Settings
from tests.support.access import token_for
from tests.support.api import BASE, Api, Shelf

OTHER: Final = '"' + "0" * 40 + '"'
OF_THE_REQUEST: Final = {"request_id", "duration_ms"}


class Asked(NamedTuple):
    method: str
    path: str
    headers: Sequence[tuple[str, str]] = ()


class Variant:
    """The app with the fast path or without, and the lines that it logged."""

    def __init__(self, http: httpx.AsyncClient, lines: list[Mapping[str, Any]]) -> None:
        self.http = http
        self._lines = lines

    async def ask(self, asked: Asked) -> tuple[Any, ...]:
        """The answer and the log line, without what differs from request to request."""
        given = [(name.encode(), value.encode("latin-1")) for name, value in asked.headers]
        answer = await self.http.send(httpx.Request(asked.method, BASE + asked.path, headers=given))
        headers = [pair for pair in answer.headers.multi_items() if pair[0] != "x-request-id"]
        headers = [(name, _unsigned(value) if name == "location" else value) for name, value in headers]
        is_json = bool(answer.content) and "json" in answer.headers["content-type"]
        body = _plain(answer.json()) if is_json else answer.content
        if is_json:
            headers = [pair for pair in headers if pair[0] != "content-length"]
        (line,) = [line for line in self._lines if line["request_id"] == answer.headers["x-request-id"]]
        return answer.status_code, headers, body, {name: line[name] for name in line.keys() - OF_THE_REQUEST}

    async def counted(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Requests by route, status and code."""
        text = (await self.http.get("/metrics")).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name
            in {
                "modelkeep_http_requests_total",
                "modelkeep_http_request_duration_seconds_count",
                "modelkeep_authentications_total",
            }
        }


def _unsigned(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()


def _plain(body: Any) -> Any:
    """In the order of its members, without what differs from second to second."""
    if isinstance(body, dict):
        return [
            (name, _unsigned(value) if name == "url" else _plain(value))
            for name, value in body.items()
            if name not in {"request_id", "expires_at"}
        ]
    return [_plain(each) for each in body] if isinstance(body, list) else body


@asynccontextmanager
async def variant(settings: Settings, lines: list[Mapping[str, Any]], *, is_fast: bool) -> AsyncIterator[Variant]:
    app = create_app(settings)
    if not is_fast:
        (fast_path,) = [route for route in app.router.routes if isinstance(route, DownloadFastPath)]
        app.router.routes.remove(fast_path)
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=BASE, transport=transport, trust_env=False) as http:
            yield Variant(http, lines)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    monkeypatch.setattr(access_log, "log_request", found.append)
    return found


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the fast path answered."""
    paths: list[str] = []
    handle = DownloadFastPath.handle

    async def noted(self: DownloadFastPath, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await handle(self, scope, receive, send)

    monkeypatch.setattr(DownloadFastPath, "handle", noted)
    return paths


async def questions(api: Api, shelf: Shelf) -> list[Asked]:
    commit = (await api.download(shelf.model))["commit"]
    base, etag = f"/v1/models/{shelf.model}/versions", f'"{commit}"'
    refs = ["production", "staging", "latest", "champion", "2", "v2", "1", "3", commit, "0" * 39 + "2", "absent"]
    refs += ["4", "5", "6", "7", "0", "v0", "02", "-1", "10000000000", "PRODUCTION", "a" * 64, "a" * 65, commit.upper()]
    refs += [
        "%70roduction",
        "production%20",
        "%20",
        "a%0Ab",
        "a%00b",
        "a%2Fb",
        "%E2%82%AC",
        "%ff",
        "%C2%A0",
        "..",
        "2%0A",
    ]
    refs += ["production;x", "production:", "pro%2Dduction", "%32", "v%32", "2/", ""]
    asked = [Asked("GET", f"{base}/{ref}/download") for ref in refs]
    models = ["absent", "BAD", "bad%20name", "a" * 200, "%66raud", shelf.model.upper(), f"{shelf.model}%0A", "-", "."]
    asked += [Asked("GET", f"/v1/models/{model}/versions/production/download") for model in models]
    asked.append(Asked("GET", f"/v1/models/%{ord(shelf.model[0]):x}{shelf.model[1:]}/versions/2/download"))
    usual = f"{base}/production/download"
    asked += [
        Asked("GET", usual + end)
        for end in ("/", "?", "?x", "?wait=0", "?wait=x", "?format=json", "?format=env", "?format=x", "x", "%20", "%3F")
    ]
    asked += [Asked("GET", path + usual) for path in ("/", "/x")]
    asked += [Asked(method, usual) for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get")]
    known = [
        etag,
        f"W/{etag}",
        f"{OTHER}, {etag}",
        "*",
        " * ",
        "",
        '"',
        "x",
        OTHER,
        etag.upper(),
        "\xe9",
        f"{OTHER}, *",
    ]
    asked += [Asked("GET", usual, [("if-none-match", value)]) for value in known]
    asked += [
        Asked("GET", usual, [("if-none-match", first), ("If-None-Match", second)])
        for first, second in [(etag, OTHER), (OTHER, etag), ("*", OTHER), (OTHER, "*"), ("", etag), (etag, "")]
    ]
    asked += [
        Asked("GET", usual, [header])
        for header in [
            ("accept", "text/plain"),
            ("if-match", OTHER),
            ("range", "bytes=0-1"),
            ("content-length", "99999999"),
            ("x-forwarded-prefix", "/x"),
        ]
    ]
    return asked


async def test_fast_path_and_route_give_the_same_answer(
    api: Api, settings: Settings, shelf: Shelf, lines: list[Mapping[str, Any]], taken: list[str]
) -> None:
    asked = await questions(api, shelf)
    statuses: Counter[int] = Counter()
    async with variant(settings, lines, is_fast=True) as fast, variant(settings, lines, is_fast=False) as ordinary:
        for each in asked:
            expected = await ordinary.ask(each)
            assert await fast.ask(each) == expected, each
            statuses[expected[0]] += 1
        assert await fast.counted() == await ordinary.counted()
    assert statuses.keys() >= {200, 304, 400, 404, 405, 422}
    assert statuses[200] >= 20
    assert len(taken) >= 40
    assert not [
        path for path in taken if not re.fullmatch(r"/v1/models/[A-Za-z0-9-]+/versions/[a-z0-9-]+/download", path)
    ]


async def test_fast_path_and_route_give_the_same_answer_to_every_caller(
    api: Api, settings: Settings, shelf: Shelf, lines: list[Mapping[str, Any]], taken: list[str]
) -> None:
    """No caller, an unknown one, and callers that may read this model, another one, all others, or only write it."""
    known = [
        await token_for(settings, allow=["reader"], models=[shelf.model]),
        await token_for(settings, allow=["reader"], models=["another"]),
        await token_for(settings, allow=["reader"], deny=["model.read"]),
        await token_for(settings, allow=["version.upload"]),
    ]
    shown: list[list[tuple[str, str]]] = [[("authorization", f"Bearer {token}")] for token in known]
    shown += [
        [],
        [("authorization", f"Bearer {known[0][:-1]}x")],
        [("authorization", "Basic eDp5")],
        [*shown[0], *shown[1]],
    ]
    paths = [f"/v1/models/{shelf.model}/versions/{ref}/download" for ref in ("production", "2", "absent", "-")]
    paths += ["/v1/models/absent/versions/production/download", "/v1/models/BAD/versions/production/download"]
    statuses: Counter[int] = Counter()
    for auth in (None, "none"):
        own = settings.model_copy(update={"auth": auth})
        async with variant(own, lines, is_fast=True) as fast, variant(own, lines, is_fast=False) as ordinary:
            for path in paths:
                for headers in shown:
                    asked = Asked("GET", path, headers)
                    expected = await ordinary.ask(asked)
                    assert await fast.ask(asked) == expected, asked
                    statuses[expected[0]] += 1
            assert await fast.counted() == await ordinary.counted()
    assert statuses.keys() >= {200, 401, 404, 422}
    assert len(taken) > 30


async def test_an_error_on_the_fast_path_is_answered_like_any_other(
    settings: Settings, shelf: Shelf, lines: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("modelkeep.services.reading.downloads.DownloadService.locate", fail)
    asked = Asked("GET", f"/v1/models/{shelf.model}/versions/production/download")
    async with variant(settings, lines, is_fast=True) as fast, variant(settings, lines, is_fast=False) as ordinary:
        expected = await ordinary.ask(asked)
        assert await fast.ask(asked) == expected
    assert expected[0] == 500
