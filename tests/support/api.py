"""The service, as its callers see it."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from modelkeep.main import create_app
from modelkeep.settings import Settings

BASE = "http://registry.localhost"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declare(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return [{"path": path, "size": len(content), "sha256": sha256(content)} for path, content in files.items()]


class Api:
    """What a pipeline or a container does, in one line each. Answers are asserted to be the expected ones."""

    def __init__(self, http: httpx.AsyncClient, *, token: str | None = None) -> None:
        self.http = http
        self._credentials = {"authorization": f"Bearer {token}"} if token else {}

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the service for a path below `/v1`, with the token if there is one; storage is never shown it."""
        headers = {**self._credentials, **(options.pop("headers", None) or {})}
        return await self.http.request(method, f"/v1{path}", headers=headers, **options)

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send JSON, expect a status, return the JSON answer."""
        answer = await self.request(method, f"/models{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def begin(self, model: str, files: Mapping[str, bytes], *, key: str | None = None, **fields: Any) -> Any:
        headers = {"idempotency-key": key} if key else None
        body = {"artifacts": declare(files), **fields}
        return await self.ask("POST", f"/{model}/versions", body, status=201, headers=headers)

    async def send(self, signed: Mapping[str, Any], content: bytes = b"") -> httpx.Response:
        """Do exactly what a presigned URL says; one for a PUT must sign what keeps other bytes out."""
        if signed["method"] == "PUT":
            assert signed_headers(signed) >= (SIGNED_OF_A_PART if is_part(signed["url"]) else SIGNED_OF_A_FILE)
        return await self.http.request(signed["method"], signed["url"], headers=signed["headers"], content=content)

    async def upload(self, begun: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Send every missing artifact, in parts where the service says so."""
        for artifact in begun["artifacts"]:
            content = files[artifact["path"]]
            if artifact["multipart"]:
                await self.upload_parts(begun, artifact, content)
            elif artifact["state"] == "missing":
                answer = await self.send(artifact["upload"], content)
                assert answer.status_code == 200, answer.text

    async def upload_parts(self, begun: Mapping[str, Any], artifact: Mapping[str, Any], content: bytes) -> None:
        size = artifact["multipart"]["part_size"]
        parts = {
            number: content[(number - 1) * size : number * size]
            for number in range(1, artifact["multipart"]["part_count"] + 1)
            if number not in artifact["multipart"]["parts_done"]
        }
        if not parts:
            return
        signed = await self.ask(
            "POST",
            f"/{begun['model']}/versions/{begun['version']}/upload/parts",
            {"path": artifact["path"], "parts": [{"number": n, "sha256": sha256(part)} for n, part in parts.items()]},
        )
        for part in signed["parts"]:
            answer = await self.send(part, parts[part["number"]])
            assert answer.status_code == 200, answer.text

    async def complete(self, model: str, number: int, *, status: int = 200) -> Any:
        return await self.ask("POST", f"/{model}/versions/{number}/complete", status=status)

    async def register(self, model: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> int:
        """Begin, upload, complete; return the version's number."""
        files = files or {"model.pt": model.encode()}
        begun = await self.begin(model, files, **fields)
        await self.upload(begun, files)
        return int((await self.complete(model, begun["version"]))["version"])

    async def promote(self, model: str, number: int, *, status: int = 200, **fields: Any) -> Any:
        body = {"stage": "production", **fields}
        return await self.ask("PUT", f"/{model}/versions/{number}/stage", body, status=status)

    async def download(self, model: str, ref: str = "production", *, status: int = 200) -> Any:
        return await self.ask("GET", f"/{model}/versions/{ref}/download", status=status)

    async def fetch(self, model: str, ref: str = "production") -> dict[str, bytes]:
        """Read every artifact of a version through its presigned URL."""
        found = await self.download(model, ref)
        files = {}
        for artifact in found["artifacts"]:
            answer = await self.send(artifact)
            assert answer.status_code == 200, answer.text
            files[artifact["path"]] = answer.content
        return files

    async def problem(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int,
        code: str,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send JSON below `/v1/models`, and expect this problem."""
        answer = await self.request(method, f"/models{path}", json=body, headers=headers)
        return check_problem(answer, status, code)

    async def model(self, model: str) -> Any:
        return await self.ask("GET", f"/{model}")

    async def generation(self, model: str) -> int:
        """The number of the model's latest event: unchanged means that nothing was written."""
        return int((await self.model(model))["generation"])

    async def events(self, model: str, after: int = 0) -> list[Any]:
        """Every event after a generation, over all pages."""
        return [event async for event in self.walk(f"/{model}/events", after=after)]

    async def walk(self, path: str, *, limit: int = 100, **query: Any) -> AsyncIterator[Any]:
        """Every entry of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            parameters = {**query, **cursor, "limit": limit}
            answer = await self.request("GET", f"/models{path}", params=parameters)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert set(page) == {"items", "next_cursor"}
            assert len(page["items"]) <= limit
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}


@dataclass(frozen=True)
class Shelf:
    """A model that no test changes: for reading, and for what is refused. `cursor` continues its list of versions."""

    model: str
    generation: int
    cursor: str


ARCHIVED, PRODUCTION, STAGING, TRASHED, OPEN, ABANDONED = range(1, 7)
"""The versions of the shelf. The production one is `champion`; `small.bin` and `large.bin` of the open one are missing.
"""


def when(text: str) -> datetime:
    """Read a time as the contract writes it: RFC 3339, UTC, with Z."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", text), text
    return datetime.fromisoformat(text)


def signed_until(url: str) -> datetime:
    """When a storage URL ends by its own word."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    if "expires" in query:
        return datetime.fromtimestamp(int(query["expires"]), UTC)
    signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))


SIGNED_OF_A_PART: Final = frozenset({"content-length", "x-amz-checksum-sha256"})
SIGNED_OF_A_FILE: Final = SIGNED_OF_A_PART | {"content-type", "if-none-match"}


def is_part(url: str) -> bool:
    """Whether a storage URL is for a part of a file."""
    return not {"partNumber", "part"}.isdisjoint(parse_qs(urlsplit(url).query))


def signed_headers(signed: Mapping[str, Any]) -> frozenset[str]:
    """The headers that come with a URL, which are those that it signs, beside the host."""
    query = parse_qs(urlsplit(signed["url"]).query)
    names = frozenset(signed["headers"])
    assert "X-Amz-SignedHeaders" not in query or names | {"host"} == set(query["X-Amz-SignedHeaders"][0].split(";"))
    return names


COMMON: Final = frozenset({"type", "title", "status", "detail", "instance", "code", "request_id"})
"""The members that every problem has."""


def check_problem(answer: httpx.Response, status: int, code: str) -> Any:
    """Hold an answer against the one shape that problems have, and return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() >= COMMON
    assert (body["status"], body["code"]) == (status, code), body
    assert body["type"] == f"/problems/{code.replace('_', '-')}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert unquote(body["instance"]) == unquote(answer.request.url.raw_path.split(b"?")[0].decode("ascii"))
    assert all(isinstance(body[name], str) and body[name] for name in COMMON - {"status"})
    assert ("retry-after" in answer.headers) == (status in {429, 503})
    return body


UNDOCUMENTED: Final = frozenset({"not_found", "method_not_allowed", "internal_error"})
"""The codes of what is not the answer of any one operation."""


def operations_of(document: dict[str, Any]) -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    """The operations of an OpenAPI document: method, a pattern of the path, and what is said of it."""
    return [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{path}", ".+"))), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def held_against(document: dict[str, Any]) -> Callable[[httpx.Response], Awaitable[None]]:
    """Fail a test at an answer that the OpenAPI document does not announce: its status and, of a problem, its code."""
    operations = operations_of(document)

    async def hold(answer: httpx.Response) -> None:
        path = answer.request.url.raw_path.decode("ascii").partition("?")[0]
        for method, pattern, operation in operations:
            if method == answer.request.method and pattern.fullmatch(path):
                await _hold(answer, operation["responses"])

    return hold


async def _hold(answer: httpx.Response, announced: dict[str, Any]) -> None:
    if answer.headers.get("content-type") != "application/problem+json":
        assert str(answer.status_code) in announced
        return
    if answer.request.method == "HEAD":
        return
    await answer.aread()
    code = answer.json()["code"]
    if code not in UNDOCUMENTED:
        assert f"`{code}`" in announced[str(answer.status_code)]["description"], (answer.request.url, code)


_DOCUMENTS: Final[dict[tuple[str, bool], dict[str, Any]]] = {}
"""One for each kind of service, since it takes a tenth of a second to make and hundreds of services to test."""


def _document_of(app: FastAPI, settings: Settings) -> dict[str, Any]:
    kind = (settings.backend, settings.docs)
    if kind not in _DOCUMENTS:
        _DOCUMENTS[kind] = app.openapi()
    return _DOCUMENTS[kind]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Api]:
    """The app in this process; storage URLs of the local store lead back into it, others over the network."""
    app = create_app(settings)
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        hooks = {"response": [held_against(_document_of(app, settings))]}
        async with httpx.AsyncClient(
            base_url=BASE, mounts={BASE: transport}, trust_env=False, timeout=30, event_hooks=hooks
        ) as http:
            yield Api(http)
