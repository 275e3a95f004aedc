"""A bad network on loopback: a reverse proxy that notes every request and, where a rule says so, misbehaves.

A rule is patterns of method and target, which of the matching requests it is for, and a fault. A fault gets the
request and the way to the server behind, and returns a reply, or raises `LostError` to close the connection without
one; `network_faults` has them.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ALWAYS = 1_000_000
_MIB = 1024 * 1024
_PATIENCE = 10


class LostError(Exception):
    """The connection is closed at this point."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes back: the body in blocks, each sent as it comes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    blocks: Callable[[bytes], Iterable[bytes]] = lambda body: [body]


@dataclass(kw_only=True)
class Request:
    """What came, and how many bytes of a body went back."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    answered: int = 0

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    def is_one(self, method: str, target: str) -> bool:
        """Whether patterns match the method as a whole, and some of the path with the query."""
        return bool(re.fullmatch(method, self.method) and re.search(target, self.target))


Forward = Callable[[Request], Reply]
Fault = Callable[[Request, Forward], Reply]


@dataclass
class _Rule:
    method: str
    target: str
    requests: range
    fault: Fault
    reads: bool
    pace: float = 0
    met: int = 0

    def takes(self, request: Request) -> bool:
        if not request.is_one(self.method, self.target):
            return False
        self.met += 1
        return self.met in self.requests


class _Server(ThreadingHTTPServer):
    """Says nothing of a client that breaks its connection: a test may look at what is printed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Proxy:
    """Stands at `url`, before the server at `behind`."""

    def __init__(self) -> None:
        proxy = self

        class Handler(_Handler):
            def handle_any(self) -> None:
                proxy._serve(self)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.behind = 0
        self.seen: list[Request] = []

    def reset(self) -> None:
        """Behave, and forget what was seen."""
        self._rules, self.seen = [], []

    def when(
        self,
        method: str,
        target: str,
        fault: Fault,
        *,
        nth: int = 1,
        times: int = _ALWAYS,
        reads: bool = True,
        pace: float = 0,
    ) -> None:
        """Let `times` matching requests from the `nth` on meet a fault; the first rule that takes a request has it.

        The fault comes before the request's body is read if not `reads`; else each MiB of it takes `pace` seconds.
        """
        self._rules.append(_Rule(method, target, range(nth, nth + times), fault, reads, pace))

    def asked(self, method: str, target: str) -> list[Request]:
        """The requests that came, in order."""
        return [each for each in self.seen if each.is_one(method, target)]

    def forward(self, request: Request) -> Reply:
        """Have the server behind answer."""
        connection = HTTPConnection("127.0.0.1", self.behind, timeout=_PATIENCE)
        try:
            with suppress(ConnectionError):
                connection.request(
                    request.method, request.target, request.body, request.headers | {"connection": "close"}
                )
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() != "connection"}
            return Reply(status=answer.status, headers=headers, body=answer.read())
        except (OSError, HTTPException):
            raise LostError from None
        finally:
            connection.close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(method=handler.command, path=path, query=query, headers=headers)
        with self._lock:
            self.seen.append(request)
            rule = next((rule for rule in self._rules if rule.takes(request)), _HARMLESS)
        try:
            if rule.reads:
                request.body = _received(handler, int(headers.get("content-length", "0")), rule.pace)
            reply = rule.fault(request, self.forward)
            handler.send_response_only(reply.status)
            length = {} if "transfer-encoding" in reply.headers else {"content-length": str(len(reply.body))}
            for name, value in (length | dict(reply.headers)).items():
                handler.send_header(name, value)
            handler.end_headers()
            for block in reply.blocks(reply.body):
                handler.wfile.write(block)
                request.answered += len(block)
        except (LostError, OSError):
            handler.close_connection = True
        if not rule.reads:
            handler.close_connection = True

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _received(handler: BaseHTTPRequestHandler, size: int, pace: float) -> bytes:
    body = bytearray()
    while len(body) < size:
        block = handler.rfile.read(min(_MIB, size - len(body)))
        if not block:
            raise LostError
        body += block
        time.sleep(pace)
    return bytes(body)


_HARMLESS = _Rule(".*", "", range(_ALWAYS), lambda request, forward: forward(request), reads=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        """Say nothing."""
