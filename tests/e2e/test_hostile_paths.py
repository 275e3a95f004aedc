"""Thousands of hostile names and paths on every route, byte for byte over a socket: refused before storage is asked."""

import hashlib
import inspect
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.parse import unquote

import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.domain.artifact_paths import check_artifact_path
from modelkeep.domain.values import check_alias, check_model_name, parse_ref
from modelkeep.http.server.hardened_protocol import HardenedHttpProtocol
from modelkeep.main import create_app
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Table
from tests.support.backends import environment, local_environment, prepare_now
from tests.support.servers import free_port
from tests.support.stores import serving

FRAGMENTS = [
    # what climbs, separates or ends, in every spelling
    b".", b"..", b"...", b"../..", b"../../../../etc/passwd", b"./.", b"..;/", b"....//", b"/", b"//", b"///", b"\\",
    b"..\\..", b"%2e", b"%2E%2e", b".%2e", b"%2e.", b"%2e%2e%2f", b"%2e%2e/", b"..%2f", b"..%2F..%2f", b"%2f", b"%2F",
    b"%5c", b"..%5c", b"%5C%5C", b"%00", b"%00.pt", b"%25", b"%252e%252e", b"%252f", b"%255c", b"%2500", b"%25252e",
    b"%%32%65", b"%u002e", b"%u2215", b"%c0%ae", b"%c0%ae%c0%ae", b"%c0%af", b"%c1%9c", b"%e0%80%af", b"%c0%80",
    b"%f0%80%80%af", b"C:", b"C:\\", b"\\\\server\\share", b"file:", b"file:///etc/passwd", b"http://elsewhere/",
    # bytes that are no text, and text that looks like other text
    b"%ff", b"%fe%ff", b"%80", b"%ed%a0%80", b"%f4%90%80%80", b"%c3", b"%c3%28", b"%ef%bc%8e", b"%ef%bc%8f", b"%cc%81",
    b"%e2%88%95", b"%e2%81%84", b"%d0%b0", b"%ce%bf", b"%c4%b0", b"%c5%bf", b"%e2%80%ae", b"%e2%80%8b", b"%ef%bb%bf",
    b"%f0%9f%92%a9", b"%d9%a3", b"%c2%b2", b"%ef%bc%91", b"%e2%91%a0", b"%c2%a0", b"%c2%ad", b"%c3%a4",
    # control characters, and what would be another header
    b"%01", b"%07", b"%08", b"%09", b"%0a", b"%0b", b"%0d", b"%0d%0a", b"%0d%0aX-Injected:%201", b"%1b%5b31m", b"%1f",
    b"%7f", b"%c2%85", b"%e2%80%a8", b"%0d%0a%0d%0aGET%20/v1/models",
    # names that mean something elsewhere
    b"$head", b"$head#m", b"$token#x", b"$event%23m", b"%24head%23m", b"%24idem", b"{model}", b"{{7*7}}",
    b"${7*7}", b"<%=7*7%>", b"#{7*7}", b"%7b%7b7*7%7d%7d", b"__proto__", b"*", b"~", b"~root", b"-", b"--",
    b"--help", b"-rf", b"_", b".git", b"a.git", b".env", b"a..b", b"a--b", b"@", b"a@b", b"a:b", b"a,b", b"a=b",
    b"a+b", b"a&b", b"a%26b", b"!", b"^", b"<script>", b"'", b'"', b"%22", b"'%20OR%201=1--", b"`id`", b"$(id)",
    b"|id", b";id", b";", b";a=b", b"(", b"[", b"[]", b"%5b%5d", b"%3f", b"%23", b"%3b", b"%20", b"%20%20", b"+",
    b"%2b", b"%zz", b"%", b"%2", b"%%", b"%g0",
    # no number of a version
    b"0", b"-1", b"+1", b"1e9", b"007", b"1.0", b"0x1", b"1_0", b"4294967296", b"99999999999999999999", b"v0", b"v01",
    b"NaN", b"1%20", b"%201", b"1%0a",
    # Windows' names for devices, and names that are kept
    b"CON", b"nul", b"aux.txt", b"COM1", b"lpt9.bin", b"con%20.x", b"LATEST", b"archived", b"none", b"main", b"v1.",
    # too long
    b"a" * 97, b"a" * 129, b"a" * 600, b"a" * 2049, b"%61" * 700, b"a/" * 33, b"." * 300, b"%2e" * 700, b"9" * 400,
]  # fmt: skip
CARRIERS = [
    b"%s", b"a%s", b"%sa", b"a%sb", b"../%s", b"%s/..", b"%%20%s", b"%s%%20", b"$%s", b"%s.git", b"%s--", b"a..%s",
]  # fmt: skip
TEXTS = sorted({carrier % fragment for carrier in CARRIERS for fragment in FRAGMENTS})

SAMPLE = 7
"""In a quick run each text is put on every seventh route."""

UNREADABLE = [
    b"a b", b"\t", b"\x00", b"a\x00b", b"\x01", b"\x0b", b"\x1f", b"\x7f", b"\xc3\xa4", b"\xff", b"\xc0\xae",
    b"a\x80", b"\r", b"a\rb", b"..\nX-Injected: 1", b"..\r\nX-Injected: 1",
]  # fmt: skip
"""Bytes that no request target has."""

TARGETS = [
    b"*", b"**", b".", b"..", b"%", b"?", b"?prefix=a", b"#", b"v1/models", b"../v1/models", b"%2fv1%2fmodels", b"\\v1",
    b"elsewhere", b"elsewhere:443", b"elsewhere:99999", b"user@elsewhere:443", b"http:", b"http://", b"http:///v1/models",
    b"http://elsewhere", b"http://elsewhere//v1/models", b"http://elsewhere/v1/models/%2e%2e", b"http://[::1/v1/models",
    b"http://elsewhere/v1/models/..", b"http://elsewhere/v1/models/$head#x", b"http://a@b@c/v1/models/%00",
    b"ftp://elsewhere/v1/models/%2f", b"file:///etc/passwd", b"javascript:alert(1)", b"//elsewhere/v1/models",
    b"/\\elsewhere/v1/models", b"/v1/../v1/models", b"/./v1/models", b"/v1//models", b"/v1/models/", b"/V1/models",
    b"/v1/models%20", b"/v1/models%00", b"/v1%2fmodels", b"/v1/models;", b"/v1/models;a=b", b"/;/v1/models",
    b"/..;/v1/models", b"/" + b"a" * 2048, b"/v1/models/" + b"a" * 20_000, b"/" * 3000, b"/a" * 1500,
    b"/.." * 500 + b"/etc/passwd",
]  # fmt: skip
"""Whole targets, in every form that RFC 9112 knows and some that it does not."""

EMPTY = {"path": "a", "size": 0, "sha256": hashlib.sha256().hexdigest()}
BODIES: dict[str, Any] = {
    "edit_model": {"description": "x"},
    "begin_upload": {"artifacts": [EMPTY]},
    "sign_parts": {"path": "a", "parts": [{"number": 1, "sha256": EMPTY["sha256"]}]},
    "edit_version": {"description": "x"},
    "set_stage": {"stage": "staging"},
    "roll_back": {"expected_production": 1},
    "set_alias": {"version": 1},
}
HARMLESS = {
    "model": b"absent",
    "version": b"1",
    "ref": b"1",
    "alias": b"champion",
    "path": b"model.pt",
    "token": b"absent",
}


def check_token_id(text: str) -> None:
    if not re.fullmatch(r"[0-9A-Za-z]{1,32}", text):
        raise ValueError(text)


GRAMMARS: dict[str, Callable[[str], object]] = {
    "model": check_model_name,
    "version": parse_ref,
    "ref": parse_ref,
    "alias": check_alias,
    "path": check_artifact_path,
    "token": check_token_id,
}

SIGNED = b"?expires=99999999999&signature=" + b"0" * 64


@dataclass(frozen=True)
class Route:
    """A method and an address, with a body that the route takes."""

    method: str
    path: bytes
    body: Any = None
    query: bytes = b""

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path.decode())

    def at(self, path: bytes) -> bytes:
        """A request of it, as bytes."""
        content = b"" if self.body is None else json.dumps(self.body).encode()
        head = b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % (self.method.encode(), path + self.query, len(content)) + content

    def filled(self, values: dict[str, bytes]) -> bytes:
        """Its path with these values for parameters, and harmless ones for the others."""
        return re.sub(rb"{(\w+)}", lambda found: (HARMLESS | values)[found[1].decode()], self.path)

    def with_text(self, text: bytes, turn: int) -> bytes | None:
        """Its path with a text for one parameter, the next with each turn; `None` where the text is no hostile one."""
        name = decoded(text)
        if not self.parameters:
            return None if not name or is_harmless("model", name.removeprefix("/")) else self.path + text
        parameter = self.parameters[turn % len(self.parameters)]
        return None if is_harmless(parameter, name) else self.filled({parameter: text})


def decoded(text: bytes) -> str:
    """What a server reads from a text as a part of a path."""
    return unquote(text.partition(b"?")[0].decode("latin-1"))


def is_harmless(parameter: str, name: str) -> bool:
    try:
        GRAMMARS[parameter](name)
    except (KeyError, ValueError):
        return False
    return True


def hostile_paths(routes: Sequence[Route], *, step: int) -> Iterator[tuple[Route, list[bytes]]]:
    """The paths for each route: each text is on every so many of the routes where it is hostile, and on one at least.

    On which ones is a matter of the text's place in the list, and the same each time.
    """
    paths: list[list[bytes]] = [[] for _ in routes]
    for turn, text in enumerate(TEXTS):
        hostile = [(at, path) for at, route in enumerate(routes) if (path := route.with_text(text, turn))]
        for at, path in hostile[turn % step :: step] or hostile[:1]:
            paths[at].append(path)
    return zip(routes, paths, strict=True)


@dataclass(frozen=True)
class Answer:
    """What came back, and for what."""

    asked: bytes
    status: int
    head: bytes
    body: bytes


class Caller:
    """A connection on which many requests are sent at once, and their answers read in turn."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._read = b""

    def close(self) -> None:
        self._socket.close()

    def ask(self, requests: Sequence[bytes]) -> Iterator[Answer]:
        self._socket.sendall(b"".join(requests))
        for asked in requests:
            head, _, _ = self._upto(lambda: b"\r\n\r\n" in self._read).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            start = len(head) + 4
            end = start + (int(length[1]) if length and not asked.startswith(b"HEAD") else 0)
            body = self._upto(lambda end=end: len(self._read) >= end)[start:end]  # type: ignore[misc]
            self._read = self._read[end:]
            yield Answer(asked, int(head.split()[1]), head.lower(), body)

    def _upto(self, is_enough: Callable[[], bool]) -> bytes:
        while not is_enough():
            received = self._socket.recv(1 << 18)
            assert received, self._read
            self._read += received
        return self._read


@dataclass(frozen=True)
class Target:
    """A running service: its routes, and how often what of its storage was called."""

    port: int
    routes: list[Route]
    calls: Counter[str]

    def ask(self, *requests: bytes) -> list[Answer]:
        with closing(Caller(self.port)) as caller:
            return list(caller.ask(requests))


def counting(target: object, calls: Counter[str]) -> None:
    """Count every call of a public method, but of the check of a URL's signature, which needs no storage."""

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return call(*arguments, **options)

        return count

    for name, method in inspect.getmembers(target, inspect.ismethod):
        if not name.startswith("_") and name != "check":
            setattr(target, name, counted(name, method))


def routes_of(document: dict[str, Any]) -> list[Route]:
    documented = [
        Route(method.upper(), path.encode(), BODIES.get(operation["operationId"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    unlisted = [("GET", b"/openapi.json"), ("GET", b"/docs"), ("GET", b"/docs/start.js")]
    stored = [Route(method, b"/local-store/{key}", query=SIGNED) for method in ("GET", "HEAD", "PUT")]
    return [*documented, *(Route(*route) for route in unlisted), *stored]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    calls: Counter[str] = Counter()

    @asynccontextmanager
    async def open_counted(*arguments: Any) -> AsyncIterator[tuple[Table, ObjectStore]]:
        async with open_storage(*arguments) as storage:
            for each in storage:
                counting(each, calls)
            yield storage

    variables = local_environment(tmp_path_factory.mktemp("data")) | {"MODELKEEP_DOCS": "true"}
    with environment(variables) as settings, mock.patch("modelkeep.main.open_storage", open_counted):
        prepare_now(settings)
        app = create_app(settings)
        with serving(app, port := free_port(), http=HardenedHttpProtocol, server_header=False, loop="uvloop"):
            yield Target(port, routes_of(app.openapi()), calls)


def check(answer: Answer) -> None:
    about = (answer.asked[:200], answer.head, answer.body[:300])
    assert 400 <= answer.status < 500, about
    assert b"x-injected" not in answer.head, about
    assert b"content-type: application/problem+json" in answer.head, about
    if not answer.asked.startswith(b"HEAD"):
        assert json.loads(answer.body)["status"] == answer.status, about


def test_a_harmless_name_reaches_storage_on_every_route(target: Target) -> None:
    """So that what is not called for a hostile one is known to be counted, and bodies are known to be good."""
    for route in target.routes:
        if route.path.startswith(b"/v1/") and route.parameters:
            before = target.calls.total()
            query = b"?a=1&b=2" if route.path.endswith(b"/compare") else b""
            (answer,) = target.ask(route.at(route.filled({}) + query))
            assert answer.status not in {400, 422}, answer
            assert target.calls.total() > before, route


@pytest.mark.timeout(300)
def test_a_hostile_name_is_refused_on_every_route_before_storage_is_asked(target: Target, *, thorough: bool) -> None:
    """Every text on every seventh of the routes where it is hostile; on all of them in a thorough run."""
    before = target.calls.copy()
    for route, paths in hostile_paths(target.routes, step=1 if thorough else SAMPLE):
        assert len(paths) >= (2000 if thorough else 200), (route, len(paths))
        with closing(Caller(target.port)) as caller:
            for start in range(0, len(paths), 50):
                for answer in caller.ask([route.at(path) for path in paths[start : start + 50]]):
                    check(answer)
    assert target.calls == before


def test_bytes_that_no_target_has_are_refused_on_every_route(target: Target) -> None:
    before = target.calls.copy()
    for route in target.routes:
        for turn, text in enumerate(UNREADABLE):
            path = route.with_text(text, turn) or route.path + text
            (answer,) = target.ask(route.at(path))
            if b"x-request-id" in answer.head:
                check(answer)
            assert 400 <= answer.status < 500
    assert target.calls == before


def test_a_hostile_target_is_refused_with_every_method(target: Target) -> None:
    before = target.calls.copy()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        for path in TARGETS:
            (answer,) = target.ask(Route(method, path).at(path))
            if b"x-request-id" in answer.head:
                check(answer)
            assert 400 <= answer.status < 500
    assert target.calls == before


def test_the_service_is_as_well_as_before(target: Target) -> None:
    for path in (b"/healthz", b"/readyz", b"/v1/models", b"/docs", b"/openapi.json"):
        (answer,) = target.ask(Route("GET", path).at(path))
        assert answer.status == 200
