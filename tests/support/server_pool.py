"""A plugin: one server of each kind for a whole run, started when the first test asks for it.

With xdist, the controller starts them for all its workers: they ask over a socket, and it answers when the server does.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from tests.support import servers
from tests.support.servers import AwsServer

Start = Callable[[Path], AbstractContextManager[AwsServer]]

KINDS: Final[dict[str, Start]] = {"ministack": servers.ministack, "dynamodb_local": servers.dynamodb_local}


class Pool:
    """The servers of this process, and of all that ask at its address."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._servers: dict[str, AwsServer] = {}
        self._listener = self._stack.enter_context(Listener(backlog=32))
        self._thread = Thread(target=self._answer)
        self._thread.start()

    @property
    def address(self) -> str:
        return str(self._listener.address)

    def close(self) -> None:
        """Stop all servers."""
        with Client(self.address) as caller:
            caller.send(None)
        self._thread.join()
        self._stack.close()

    def _answer(self) -> None:
        while True:
            with self._listener.accept() as caller:
                kind = caller.recv()
                if kind is None:
                    return
                try:
                    caller.send(self._started(kind))
                except Exception as error:  # noqa: BLE001 -- it is for the caller to raise
                    caller.send(error)

    def _started(self, kind: str) -> AwsServer:
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(KINDS[kind](self._folder))
        return self._servers[kind]


POOL: Final = pytest.StashKey[Pool]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[POOL] = Pool()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    node.workerinput["servers"] = config.stash[POOL].address  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    if POOL in config.stash:
        config.stash[POOL].close()


def _server(config: pytest.Config, kind: str) -> AwsServer:
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    with Client(given["servers"] if given else config.stash[POOL].address) as pool:
        pool.send(kind)
        answer = pool.recv()
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, AwsServer)
    return answer


@pytest.fixture(scope="session")
def ministack_here(request: pytest.FixtureRequest) -> AwsServer:
    """S3 and DynamoDB in one process of this machine."""
    return _server(request.config, "ministack")


@pytest.fixture(scope="session")
def ministack(request: pytest.FixtureRequest) -> AwsServer:
    """S3 and DynamoDB: a ministack, or what AWS_ENDPOINT_URL and its like point at."""
    server: AwsServer = servers.from_environment() or request.getfixturevalue("ministack_here")
    return server


@pytest.fixture(scope="session")
def dynamodb_local(request: pytest.FixtureRequest) -> AwsServer:
    """DynamoDB by Amazon's own engine; skipped where Java or npm is missing."""
    if missing := servers.why_no_dynamodb_local():
        pytest.skip(missing)
    return _server(request.config, "dynamodb_local")
