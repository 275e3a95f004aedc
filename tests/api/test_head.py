"""HEAD, on every route that has GET: what GET would answer, without its body."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from asgi_lifespan import LifespanManager
from uvicorn.protocols.http.h11_impl import H11Protocol

from modelkeep.http.server.hardened_protocol import HardenedHttpProtocol
from modelkeep.main import create_app
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.settings import Settings
from modelkeep.storage.local.files import FileStore
from tests.support.api import BASE, OPEN, PRODUCTION, Api, Shelf, check_problem, sha256
from tests.support.app_routes import ROUTES, asset_below
from tests.support.servers import free_port
from tests.support.stores import serving

ANSWER_THEMSELVES = {"/local-store/{key:path}", "/v1/models/{model}/versions/{ref}/artifacts/{path:path}"}
WITHOUT_A_BODY = {"/"}
READABLE = sorted({path for method, path in ROUTES if method == "GET"} - ANSWER_THEMSELVES - WITHOUT_A_BODY)

Answer = tuple[int, list[tuple[str, str]], bytes]


@pytest.fixture(scope="module")
async def app(settings: Settings, api: Api) -> AsyncIterator[Any]:
    async with LifespanManager(create_app(settings.model_copy(update={"docs": True}))) as manager:
        yield manager.app


async def ask(app: Any, method: str, target: str, **headers: str) -> Answer:
    """What the app itself sends; clients and servers would drop the body of an answer to HEAD."""
    url = urlsplit(target)
    sent: list[Any] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "method": method,
        "path": url.path,
        "raw_path": quote(url.path).encode(),
        "query_string": url.query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    arriving = iter([{"type": "http.request"}])

    async def receive() -> Any:
        """The request, which has no body, and then nothing for ever."""
        return next(arriving, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    given = [(name.decode(), value.decode()) for name, value in start["headers"]]
    return start["status"], given, b"".join(body.get("body", b"") for body in bodies)


def same(answer: Answer, *volatile: str) -> Any:
    """Status and headers, but those that may differ from one answer to the next: `/metrics` counts, URLs are signed."""
    return answer[0], [pair for pair in answer[1] if pair[0] not in {"x-request-id", *volatile}]


def filled(path: str, shelf: Shelf) -> str:
    version = OPEN if path.endswith("/upload") else PRODUCTION
    given = {"model": shelf.model, "version": version, "ref": "production", "asset": asset_below(path)}
    return path.format_map(given)


@pytest.mark.parametrize("path", READABLE)
async def test_head_is_get_without_a_body(app: Any, shelf: Shelf, path: str) -> None:
    target = filled(path, shelf)
    got, head = await ask(app, "GET", target), await ask(app, "HEAD", target)
    volatile = ["content-length"] if path == "/metrics" or path.endswith(("/download", "/upload")) else []
    assert same(head, *volatile) == same(got, *volatile)
    assert got[2]
    assert head[2] == b""
    assert int(dict(head[1])["content-length"]) > 0


@pytest.mark.parametrize("target", ["/v1/models/absent", "/v1/models/-", "/v1/models?cursor=x", "/nowhere", "/v1//x"])
async def test_a_problem_of_head_is_that_of_get_without_a_body(app: Any, target: str) -> None:
    got, head = await ask(app, "GET", target, x_request_id="same"), await ask(app, "HEAD", target, x_request_id="same")
    assert got[0] >= 400
    assert same(head) == same(got)
    assert (head[2], int(dict(head[1])["content-length"])) == (b"", len(got[2]))


async def test_head_of_a_version_that_is_known_is_not_modified(app: Any, shelf: Shelf) -> None:
    target = f"/v1/models/{shelf.model}/versions/production/download"
    etag = dict((await ask(app, "HEAD", target))[1])["etag"]
    for method in ("GET", "HEAD"):
        status, headers, body = await ask(app, method, target, if_none_match=etag)
        assert (status, dict(headers)["etag"], body) == (304, etag, b"")


async def test_a_request_is_counted_once_as_head_of_its_route(app: Any, shelf: Shelf) -> None:
    async def counts() -> dict[str, float]:
        lines = (await ask(app, "GET", "/metrics"))[2].decode().splitlines()
        names = ("modelkeep_http_requests_total", "modelkeep_http_request_duration_seconds_count")
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(names) and "/metrics" not in line
        }

    route = "/v1/models/{model}/versions/{ref}/download"
    before = await counts()
    await ask(app, "HEAD", f"/v1/models/{shelf.model}/versions/production/download")
    changed = {name: value - before.get(name, 0) for name, value in (await counts()).items()}
    assert {name: count for name, count in changed.items() if count} == {
        f'modelkeep_http_requests_total{{code="",method="HEAD",route="{route}",status="200"}}': 1,
        f'modelkeep_http_request_duration_seconds_count{{route="{route}"}}': 1,
    }


@pytest.mark.parametrize("path", sorted({path for _, path in ROUTES}))
async def test_allow_names_head_wherever_it_names_get(app: Any, shelf: Shelf, path: str) -> None:
    _, headers, _ = await ask(app, "OPTIONS", path.replace("{key:path}", "a").replace("{token}", "a"))
    allowed = set(dict(headers)["allow"].split(", "))
    assert allowed >= {method for method, other in ROUTES if other == path}
    assert ("HEAD" in allowed) == ("GET" in allowed)


async def test_head_of_what_cannot_be_read_is_not_allowed(app: Any, shelf: Shelf) -> None:
    status, headers, body = await ask(app, "HEAD", f"/v1/models/{shelf.model}/rollback")
    assert (status, dict(headers)["allow"], body) == (405, "POST", b"")


# -- artifacts: GET leads to storage, whose URLs are for GET alone


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise AssertionError("signed")

    monkeypatch.setattr(PresignedUrlCache, "for_artifact", fail)
    monkeypatch.setattr(PresignedUrlCache, "for_version", fail)


async def test_head_of_an_artifact_has_its_size_and_digest(api: Api, app: Any, model: str, unsigned: None) -> None:
    content = b"weights" * 1000
    await api.register(model, {"a folder/model.pt": content, "empty": b""})
    digest = base64.b64encode(bytes.fromhex(sha256(content))).decode()
    target = f"/v1/models/{model}/versions/1/artifacts/a folder/model.pt"
    status, headers, body = await ask(app, "HEAD", target)
    found = dict(headers)
    assert (status, body) == (200, b"")
    assert found["content-length"] == str(len(content))
    assert found["content-type"] == "application/octet-stream"
    assert found["etag"] == f'"{sha256(content)}"'
    assert found["repr-digest"] == f"sha-256=:{digest}:"
    assert "location" not in found
    for known in (found["etag"], f'"other", W/{found["etag"]}', "*"):
        assert (await ask(app, "HEAD", target, if_none_match=known))[0] == 304
    assert (await ask(app, "HEAD", target, if_none_match='"other"'))[0] == 200
    empty = await ask(app, "HEAD", f"/v1/models/{model}/versions/1/artifacts/empty")
    assert (empty[0], dict(empty[1])["content-length"]) == (200, "0")


@pytest.mark.parametrize("path", ["{model}/versions/1/artifacts/absent", "{model}/versions/99/artifacts/model.pt"])
async def test_head_of_an_absent_artifact(app: Any, shelf: Shelf, path: str) -> None:
    target = f"/v1/models/{path.format(model=shelf.model)}"
    got, head = await ask(app, "GET", target, x_request_id="same"), await ask(app, "HEAD", target, x_request_id="same")
    assert (head[0], same(head), head[2]) == (404, same(got), b"")


# -- the URLs of the local store


@pytest.mark.parametrize("settings", ["local"], indirect=True)
async def test_a_url_of_the_local_store_answers_head_without_reading(
    api: Api, settings: Settings, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register(model, {"model.pt": b"weights"})
    (artifact,) = (await api.download(model, "1"))["artifacts"]
    got = await api.http.get(artifact["url"])

    def fail(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(FileStore, "read_slice", fail)
    for headers in ({}, {"range": "bytes=2-3"}):
        head = await api.http.head(artifact["url"], headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert {**head.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}
    assert (await api.http.head(artifact["url"], headers={"if-match": '"other"'})).status_code == 412
    assert (await api.http.head(artifact["url"][:-1] + "x")).status_code == 403
    begun = await api.begin(f"{model}-2", {"model.pt": b"weights"})
    assert (await api.http.head(begun["artifacts"][0]["upload"]["url"])).status_code == 403


# -- on the wire


@pytest.fixture(scope="module", params=[HardenedHttpProtocol, H11Protocol], ids=["served", "h11"])
def port(request: pytest.FixtureRequest, settings: Settings, api: Api) -> Iterator[int]:
    port = free_port()
    with serving(create_app(settings), port, lifespan="on", http=request.param):
        yield port


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/absent", "/nowhere", "/openapi.json"])
def test_nothing_follows_the_headers_on_a_connection(port: int, path: str) -> None:
    """A body would be taken for the next answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        for method in ("HEAD", "GET", "HEAD", "GET"):
            connection.request(method, path)
            answer = connection.getresponse()
            length, body = int(answer.headers["content-length"]), answer.read()
            assert length > 0
            assert len(body) == (0 if method == "HEAD" else length)


async def test_head_asks_for_credentials_like_get(settings: Settings) -> None:
    own = settings.model_copy(update={"auth": None})
    async with (
        LifespanManager(create_app(own)) as manager,
        httpx.AsyncClient(base_url=BASE, transport=httpx.ASGITransport(manager.app)) as http,
    ):
        head = await http.head("/v1/models")
        check_problem(await http.get("/v1/models"), 401, "credentials_required")
        assert (head.status_code, head.headers["www-authenticate"]) == (401, 'Bearer realm="modelkeep"')
