"""What is measured: the service on each backend, filled with models, and the bare route. Started when asked for."""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from uuid import uuid4

from modelkeep.bootstrap import open_storage
from modelkeep.domain.artifacts import Artifact, commit_of, object_key
from modelkeep.domain.models import Version
from modelkeep.repositories.items import head_to_item
from modelkeep.repositories.version_items import version_to_item
from modelkeep.storage.table import Absent, Put
from tests.benchmarks.load import Tally, once, request
from tests.benchmarks.speed import bare_route
from tests.support import builders, servers
from tests.support.backends import aws_environment, environment, local_environment, prepare
from tests.support.programs import EXECUTABLE, Server, serving
from tests.support.servers import AwsServer, free_port

MODEL = "fraud-detector"
SETTINGS = (
    "MODELKEEP_AUTH=none, MODELKEEP_REQUESTS_PER_10_SECONDS=1000000000, else the defaults; its log goes to a file"
)
PATIENCE = 120
"""Seconds for a server to start, on a machine that may be busy with others."""

UNLIMITED = {"MODELKEEP_REQUESTS_PER_10_SECONDS": "1000000000", "MODELKEEP_LOG_LEVEL": ""}


@dataclass(frozen=True)
class Scale:
    """How much is asked of whom."""

    rounds: int = 5
    seconds: float = 3
    """Of each load of each round."""

    connections: int = 32
    herd: int = 256
    arrivals: int = 10_000
    arrival_seconds: float = 10
    artifacts: int = 1_000
    versions: tuple[int, int] = (10, 10_000)
    calls: int = 30
    """One after the other, in each round."""

    requests: int = 100_000
    request_seconds: float = 180
    """They end after this time, all or not."""

    overload_seconds: float = 60
    waiting: int = 1_000
    idle_seconds: float = 5
    backends: int | None = None
    """As many of those that could be, or all."""

    def quick(self) -> Self:
        """Nothing that could be believed, in no time: to see that it runs."""
        return replace(
            self,
            rounds=1,
            seconds=0.1,
            connections=4,
            herd=8,
            arrivals=40,
            arrival_seconds=0.2,
            artifacts=20,
            versions=(2, 30),
            calls=2,
            requests=50,
            overload_seconds=0.2,
            waiting=20,
            idle_seconds=0.5,
            backends=1,
        )


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def resolving(self, model: str = MODEL) -> bytes:
        return request(self.port, f"/v1/models/{model}/versions/production/download")

    def promoting(self, model: str, number: int) -> bytes:
        path = f"/v1/models/{model}/versions/{number}/stage"
        return request(self.port, path, method="PUT", body=b'{"stage": "production"}')


class Backend:
    """Storage with models in it, and the service over it."""

    def __init__(self, name: str, variables: dict[str, str], folder: Path, stack: ExitStack) -> None:
        self.name = name
        self.variables = variables | UNLIMITED
        self._folder = folder
        self._stack = stack
        self._services: dict[int, Running] = {}
        self._filled: set[str] = set()

    def service(self, workers: int = 1) -> Running:
        """The one service with so many workers, which goes on running."""
        if workers not in self._services:
            running = self.start(self._stack, workers)
            running.server.wait("/readyz", patience=PATIENCE)
            self._services[workers] = running
        return self._services[workers]

    def start(self, stack: ExitStack, workers: int = 1) -> Running:
        """Another service, which may not answer yet, and runs as long as the stack."""
        port = free_port()
        command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
        log = self._folder / f"{self.name}-{port}.log"
        return Running(stack.enter_context(serving(command, self.variables, port=port, log=log)), port)

    def beside(self, table: str) -> "Backend":
        """The same servers with another table, a bucket of the same name, and services of its own."""
        variables = self.variables | {"MODELKEEP_TABLE": table, "MODELKEEP_BUCKET": table}
        return Backend(self.name, variables, self._folder, self._stack)

    async def prepare(self) -> Self:
        with environment(self.variables) as settings:
            await prepare(settings)
        return self

    async def fill(self, model: str = MODEL, *, versions: int = 2, artifacts: int = 1) -> None:
        """Write versions straight into the table, none of whose bytes are there, and promote the first."""
        if model in self._filled:
            return
        self._filled.add(model)
        with environment(self.variables | {"MODELKEEP_LOG_LEVEL": "WARNING"}) as settings:
            async with open_storage(settings) as (table, _):
                for first in range(1, versions + 1, 100):
                    numbers = range(first, min(first + 100, versions + 1))
                    writes = [Put(version_to_item(_version(model, each, artifacts)), Absent()) for each in numbers]
                    await table.transact(writes, request_token=str(uuid4()))
                head = builders.head(model=model, generation=1, next_version=versions + 1, latest_version=versions)
                await table.transact([Put(head_to_item(head, str(uuid4())), Absent())], request_token=str(uuid4()))
        running = self.service()
        promoted = await once(running.port, running.promoting(model, 1))
        assert promoted.status == 200, promoted


class Site:
    """All that runs, to the end of the stack."""

    def __init__(self, scale: Scale, folder: Path, stack: ExitStack) -> None:
        self.scale = scale
        self.folder = folder
        self._stack = stack
        self._backends: dict[str, Backend] = {}
        self._ministack: AwsServer | None = None
        self._bare: Running | None = None

    async def backend(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = await Backend(name, self._variables(name), self.folder, self._stack).prepare()
        return self._backends[name]

    async def bare(self, answers: dict[str, bytes]) -> Running:
        """The bare route, which answers for each of these models with these bytes."""
        if self._bare is None:
            self._bare = self._start_bare()
        for model, answer in answers.items():
            (self.folder / "answers" / model).write_bytes(answer)
            assert (await once(self._bare.port, self._bare.resolving(model))).body == answer
        return self._bare

    def _variables(self, name: str) -> dict[str, str]:
        if name == "local":
            return local_environment(self.folder / "data")
        variables = aws_environment(self._aws())
        if name == "dynamodb-local":
            server = self._stack.enter_context(servers.dynamodb_local(self.folder))
            variables |= {"AWS_ENDPOINT_URL_DYNAMODB": server.endpoint}
        return variables

    def _aws(self) -> AwsServer:
        if self._ministack is None:
            given = servers.from_environment()
            self._ministack = given or self._stack.enter_context(servers.ministack(self.folder))
        return self._ministack

    def _start_bare(self) -> Running:
        (self.folder / "answers").mkdir()
        port = free_port()
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        command = [sys.executable, "-m", "uvicorn", "--factory", f"{bare_route.__name__}:create_app", *options]
        variables = {bare_route.ANSWERS: str(self.folder / "answers"), "PATH": os.environ["PATH"]}
        starting = serving([*command, "--port", str(port)], variables, port=port, log=self.folder / "bare_route.log")
        running = Running(self._stack.enter_context(starting), port)
        running.server.wait("/openapi.json", patience=PATIENCE)
        return running


async def side_by_side(rounds: int, *sides: Callable[[], Awaitable[Tally]]) -> Sequence[list[Tally]]:
    """Warm up, then measure in turn, each round another one first; the tallies of each side over the rounds."""
    for side in sides:
        await side()
    tallies: list[list[Tally]] = [[] for _ in sides]
    for number in range(rounds):
        for place in range(len(sides)):
            turn = (place + number) % len(sides)
            tallies[turn].append(await sides[turn]())
    return tallies


def _version(model: str, number: int, artifacts: int) -> Version:
    paths = ["model.pt", *(f"layers/{each:04}.safetensors" for each in range(1, artifacts))]
    manifest = tuple(
        Artifact(path=path, size=3, sha256=builders.DIGEST, key=object_key(model, number, path)) for path in paths
    )
    commit = commit_of(model, number, manifest)
    return builders.version(number, model=model, commit=commit, artifacts=manifest)
