"""The service on one machine, in a thread of the tests, and what its storage took in and gave out."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelkeep.main import create_app
from tests.support.backends import environment, local_environment, prepare_now
from tests.support.servers import free_port
from tests.support.stores import serving

STORE = "/local-store/"


@dataclass(frozen=True)
class Move:
    """One request of storage that came to its end: which object or part, the answer, and bytes of a body sent."""

    method: str
    piece: str
    status: int
    sent: int


@dataclass
class Observed:
    """A running service."""

    url: str
    folder: Path
    moves: list[Move] = field(default_factory=list)
    under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        with self._lock:
            self.under_way += 1

    def end(self, move: Move) -> None:
        with self._lock:
            self.under_way -= 1
            self.moves.append(move)

    def mark(self) -> int:
        """How many moves there were, once storage has done with all that it was asked for."""
        httpx.get(f"{self.url}/healthz", trust_env=False)
        while self.under_way:
            time.sleep(0.005)
        return len(self.moves)

    def taken(self) -> set[str]:
        """The objects and parts whose bytes storage has acknowledged."""
        return {move.piece for move in list(self.moves) if move.method == "PUT" and move.status == 200}

    def since(self, mark: int, method: str) -> list[Move]:
        """What ended after so many moves."""
        return [move for move in self.moves[mark : self.mark()] if move.method == method]

    def sent_since(self, mark: int) -> int:
        """Bytes of objects that were given out after so many moves."""
        return sum(move.sent for move in self.since(mark, "GET"))


class _Observing:
    """Plain ASGI, around everything else."""

    def __init__(self, app: ASGIApp, observed: Observed) -> None:
        self._app = app
        self._observed = observed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(STORE):
            await self._app(scope, receive, send)
            return
        piece = _piece(scope)
        status = sent = 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            await send(message)
            status = message.get("status", status)
            sent += len(message.get("body", b""))

        self._observed.begin()
        try:
            await self._app(scope, receive, counted)
        finally:
            self._observed.end(Move(scope["method"], piece, status, sent))


def _piece(scope: Scope) -> str:
    """The object's key, and the part's number behind it if it is one."""
    query: str = scope["query_string"].decode()
    part = [parameter for parameter in query.split("&") if parameter.startswith("part=")]
    return "#".join([scope["path"].removeprefix(STORE), *part])


@contextmanager
def observed_service(folder: Path, variables: Mapping[str, str]) -> Iterator[Observed]:
    """Serve what is kept in a folder until the block ends."""
    port = free_port()
    observed = Observed(f"http://127.0.0.1:{port}", folder)
    with environment({**local_environment(folder), "MODELKEEP_PUBLIC_URL": observed.url, **variables}) as settings:
        prepare_now(settings)
        app = create_app(settings)
    app.add_middleware(_Observing, observed=observed)
    with serving(app, port):
        yield observed
