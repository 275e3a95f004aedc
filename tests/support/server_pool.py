"""A plugin: one server of each kind for a whole run, started when the first test asks for it.

With xdist, the controller starts them for all its workers: they ask over a socket, and it answers when the server does.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from tests.support import servers
from tests.support.processes.forks import Forks, forking
from tests.support.programs import ADDRESS
from tests.support.servers import AwsServer

KINDS: Final[Mapping[str, Callable[[Path], AbstractContextManager[object]]]] = {
    "ministack": servers.ministack,
    "dynamodb_local": servers.dynamodb_local,
    "forks": forking,
}


class Pool:
    """The servers of this process, for all that ask at the address in the environment."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._servers: dict[str, object] = {}
        self._listener = self._stack.enter_context(Listener(backlog=32))
        self._thread = Thread(target=self._answer)
        self._thread.start()
        os.environ[ADDRESS] = str(self._listener.address)

    def close(self) -> None:
        """Stop all servers."""
        ask(None)
        self._thread.join()
        self._stack.close()
        del os.environ[ADDRESS]

    def _answer(self) -> None:
        kind = ""
        while kind is not None:
            with self._listener.accept() as caller:
                kind = caller.recv()
                try:
                    caller.send(kind and self._started(kind))
                except Exception as error:  # noqa: BLE001 -- it is for the caller to raise
                    caller.send(error)

    def _started(self, kind: str) -> object:
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(KINDS[kind](self._folder))
        return self._servers[kind]


def ask(kind: str | None) -> Any:
    """A server of the pool; `None` ends it."""
    with Client(os.environ[ADDRESS]) as pool:
        pool.send(kind)
        answer = pool.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


POOL: Final = pytest.StashKey[Pool]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[POOL] = Pool()


def pytest_unconfigure(config: pytest.Config) -> None:
    if POOL in config.stash:
        config.stash[POOL].close()


@pytest.fixture(scope="session")
def ministack_here() -> AwsServer:
    """S3 and DynamoDB in one process of this machine."""
    server: AwsServer = ask("ministack")
    return server


@pytest.fixture(scope="session")
def ministack(request: pytest.FixtureRequest) -> AwsServer:
    """S3 and DynamoDB: a ministack, or what AWS_ENDPOINT_URL and its like point at."""
    server: AwsServer = servers.from_environment() or request.getfixturevalue("ministack_here")
    return server


@pytest.fixture(scope="session")
def dynamodb_local() -> AwsServer:
    """DynamoDB by Amazon's own engine; skipped where Java or npm is missing."""
    if missing := servers.why_no_dynamodb_local():
        pytest.skip(missing)
    server: AwsServer = ask("dynamodb_local")
    return server


@pytest.fixture(scope="session")
def forks() -> Forks:
    """Starts programs of `modelkeep` without importing it anew."""
    forks: Forks = ask("forks")
    return forks
