"""Hostile paths, byte for byte over a socket, at a running server: a problem for each, and nothing written."""

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

ZEROS = "0" * 64

SEGMENTS = [
    # escapes of what separates, ends or climbs
    b"%00", b"a%00", b"%2f", b"a%2Fb", b"%2F%2F", b"%5c", b"..%5c..", b"%5C%5Cserver", b"%25", b"%252e%252e", b"%2500",
    b"%252f", b"%25%30%30", b"%2e", b"%2e%2e", b".%2e", b"%2e.", b"%2E%2E%2F%2E%2E%2Fetc%2Fpasswd", b"%2e%2e/%2e%2e",
    b".", b"..", b"...", b"../..", b"../../../../etc/passwd", b"./.", b"..;", b"..%00/", b"a/../a", b"/", b"//", b"/a",
    b"a//b", b"\\", b"..\\..", b"a\\b", b"C:", b"C:\\x", b"%u002e", b"%", b"%2", b"%zz", b"%%32%65",
    # overlong, broken and strange Unicode
    b"%c0%ae%c0%ae", b"%c0%af", b"%e0%80%af", b"%f0%80%80%af", b"%c0%80", b"%ff", b"%fe%ff", b"%ed%a0%80", b"%c3%a4",
    b"%ef%bc%8e%ef%bc%8e", b"%e2%80%ae", b"%e2%80%8b", b"%f0%9f%92%a9", b"%cc%81", b"%ef%bb%bf", b"%f4%90%80%80",
    b"\xc3\xa4", b"\xff", b"\xc0\xae\xc0\xae", b"\xf0\x9f\x92\xa9", b"a\x80",
    # control bytes, raw and escaped
    b"%01", b"%09", b"%0a", b"%0d%0aX-Injected:%201", b"%1b%5b31m", b"%7f", b"%c2%85", b"\x01", b"\x08", b"\x0b",
    b"\x1f", b"\x7f", b"\t", b"a\x00b",
    # names that mean something elsewhere
    b"$head", b"$head%23m", b"$event#m", b"{model}", b"*", b"~", b"~root", b"-", b"--", b"A--b", b".git", b"A.git",
    b"%20", b"%20a", b"a%20", b"<script>", b"'", b'"', b"`id`", b"$(id)", b"|", b"a%26b", b"%3f", b"%23", b"@", b"a@b",
    # too long
    b"a" * 129, b"a" * 600, b"a" * 2049, b"a" * 10_000, b"%61" * 1000, b"a/" * 1200, b"." * 3000, b"%2e" * 3000,
]  # fmt: skip

DEVICES = [b"CON", b"nul", b"aux.txt", b"COM1", b"lpt9.bin", b"con%20.x"]
"""Windows' names for devices: no artifact may have them; a model or an alias may."""

EMPTY = {"artifacts": [{"path": "model.pt", "size": 0, "sha256": hashlib.sha256().hexdigest()}]}
REGISTRATION = {"artifacts": [{"path": "a", "size": 0, "sha256": ZEROS}]}
PARTS = {"path": "a", "parts": [{"number": 1, "sha256": ZEROS}]}

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models/{}", None),
    ("PATCH", "/v1/models/{}", {"description": "x"}),
    ("DELETE", "/v1/models/{}", None),
    ("POST", "/v1/models/{}/versions", REGISTRATION),
    ("GET", "/v1/models/{}/versions", None),
    ("GET", "/v1/models/{}/events", None),
    ("POST", "/v1/models/{}/rollback", {"expected_production": 1}),
    ("GET", "/v1/models/{}/versions/1", None),
    ("GET", "/v1/models/{}/versions/1/upload", None),
    ("PUT", "/v1/models/{}/aliases/champion", {"version": 1}),
    ("GET", "/v1/models/victim/versions/{}", None),
    ("GET", "/v1/models/victim/versions/{}/download", None),
    ("GET", "/v1/models/victim/versions/{}/artifacts/model.pt", None),
    ("GET", "/v1/models/victim/versions/{}/upload", None),
    ("DELETE", "/v1/models/victim/versions/{}/upload", None),
    ("POST", "/v1/models/victim/versions/{}/upload/parts", PARTS),
    ("POST", "/v1/models/victim/versions/{}/complete", None),
    ("PATCH", "/v1/models/victim/versions/{}", {"description": "x"}),
    ("DELETE", "/v1/models/victim/versions/{}", None),
    ("POST", "/v1/models/victim/versions/{}/restore", None),
    ("PUT", "/v1/models/victim/versions/{}/stage", {"stage": "staging"}),
    ("PUT", "/v1/models/victim/aliases/{}", {"version": 1}),
    ("DELETE", "/v1/models/victim/aliases/{}", None),
]
ARTIFACTS: list[tuple[str, str, Any]] = [("GET", "/v1/models/victim/versions/1/artifacts/{}", None)]
STORE: list[tuple[str, str, Any]] = [
    (method, f"/local-store/{place}{{}}?expires=99999999999&signature={ZEROS}", None)
    for method in ("GET", "HEAD", "PUT", "DELETE")
    for place in ("", "models/victim/v1/")
]


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
    environment = {"REGISTRY_PUBLIC_URL": url, "REGISTRY_LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "app", "dev", "--port", str(port), "--data-dir", str(folder / "data")]
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


def check(answer: Answer) -> None:
    about = (answer.request[:120], answer.head, answer.body[:300])
    assert 400 <= answer.status < 500, about
    assert b"x-injected" not in answer.head, about
    assert b"content-type: application/problem+json" in answer.head, about
    if not answer.request.startswith(b"HEAD"):
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status
        assert problem["code"] != "internal_error"
        assert problem["request_id"].encode() in answer.head
        assert problem["instance"].isascii()


def aimed(routes: list[tuple[str, str, Any]], segments: list[bytes]) -> list[bytes]:
    return [
        request(method, path.encode().replace(b"{}", segment), body)
        for method, path, body in routes
        for segment in segments
    ]


async def test_a_hostile_path_is_a_problem_and_writes_nothing(target: Target) -> None:
    before = target.everything()
    requests = aimed(ROUTES, SEGMENTS) + aimed(ARTIFACTS, SEGMENTS + DEVICES) + aimed(STORE, SEGMENTS + DEVICES)
    answers = await send_all(target.port, requests)
    for answer in answers:
        check(answer)
    assert len(answers) > 3000
    assert target.everything() == before


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


async def test_a_target_in_another_form_is_no_way_in(target: Target) -> None:
    before = target.everything()
    for line in (
        b"GET http://elsewhere/v1/models/absent HTTP/1.1",
        b"DELETE http://elsewhere/v1/models/%2e%2e HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT elsewhere:443 HTTP/1.1",
        b"GET v1/models HTTP/1.1",
        b"GET /v1/models/absent HTTP/9.9",
        b"BREW /v1/models HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01",
    ):
        answer = await send(target.port, line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert 400 <= answer.status < 500, (line, answer.head)
    assert target.everything() == before
