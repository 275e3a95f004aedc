"""Hostile queries and headers, byte for byte over a socket, at a running server; paths are in `tests/e2e`."""

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.servers import free_port, running

EMPTY = {"artifacts": [{"path": "model.pt", "size": 0, "sha256": hashlib.sha256().hexdigest()}]}


@dataclass(frozen=True)
class Target:
    """A running server, and the folder where it keeps everything."""

    http: httpx.Client
    port: int
    folder: Path

    def everything(self) -> Any:
        """All that is kept: models, versions, events, and the files."""
        answers = [
            self.http.get(path).json()
            for path in ("/v1/models", "/v1/models/victim/versions", "/v1/models/victim/events")
        ]
        files = {path for path in self.folder.rglob("*") if not path.name.startswith("registry.db")}
        return answers, files


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder, port = tmp_path_factory.mktemp("paths"), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"MODELKEEP_PUBLIC_URL": url, "MODELKEEP_LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "modelkeep", "dev", "--port", str(port), "--data-dir", str(folder / "data")]
    with (
        running(command, environment=environment, log=folder / "log", ready=f"{url}/healthz", status=200),
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        upload = http.post("/v1/models/victim/versions", json=EMPTY).json()["artifacts"][0]["upload"]
        assert http.put(upload["url"], headers=upload["headers"]).status_code == 200
        assert http.post("/v1/models/victim/versions/1/complete").status_code == 200
        yield Target(http, port, folder / "data")


@dataclass(frozen=True)
class Answer:
    """What came back, and for what."""

    request: bytes
    status: int
    head: bytes
    body: bytes


async def send(port: int, request: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    raw = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    head, _, body = raw.partition(b"\r\n\r\n")
    return Answer(request, int(head.split()[1]), head.lower(), body)


def request(method: str, path: bytes, body: Any, *headers: bytes) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        b"%s %s HTTP/1.1" % (method.encode(), path),
        b"Host: localhost",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(content),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", content])


async def send_all(port: int, requests: list[bytes]) -> list[Answer]:
    gate = asyncio.Semaphore(16)

    async def one(raw: bytes) -> Answer:
        async with gate:
            return await send(port, raw)

    return await asyncio.gather(*map(one, requests))


async def test_a_hostile_query_is_read_or_refused(target: Target) -> None:
    before = target.everything()
    paths = [
        b"/v1/models?%s=%s" % (name, value)
        for name in (b"cursor", b"prefix", b"limit", b"unknown")
        for value in (
            b"%00",
            b"%ff",
            b"\xff",
            b"\xc3\xa4",
            b"%",
            b"%zz",
            b"&&&",
            b"==",
            b"a" * 20_000,
            b"[]",
            b"%0d%0a",
        )
    ]
    paths += [b"/v1/models/absent" + path.removeprefix(b"/v1/models") for path in paths]
    for answer in await send_all(target.port, [request("GET", path, None) for path in paths]):
        assert answer.status < 500, (answer.request[:100], answer.head)
    assert target.everything() == before


@pytest.mark.parametrize(
    "header",
    [
        b"Host: [",
        b"Host: a/b?c",
        b"Host: \xff",
        b"X-Request-Id: \xff\xfe",
        b"Idempotency-Key: \xff",
        b"If-None-Match: \xff",
        b"Content-Type: \xff",
        b"Content-Length: 99999999999999999999999",
        b"Content-Length: -1",
        b"Content-Length: 0x10",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"X-Long: " + b"a" * 60_000,
    ],
    ids=lambda header: repr(header[:30]),
)
async def test_a_hostile_header_does_no_harm(target: Target, header: bytes) -> None:
    before = target.everything()
    lines = [b"PATCH /v1/models/absent HTTP/1.1", b"Connection: close", header, b"", b"0\r\n\r\n"]
    answer = await send(target.port, b"\r\n".join(lines))
    assert answer.status < 500, (answer.head, answer.body)
    assert target.everything() == before
