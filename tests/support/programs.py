"""The program `modelkeep`, as an operator runs it: commands that end, and servers that are stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from typer.testing import CliRunner

from modelkeep.program import program

REPOSITORY = Path(__file__).parents[2]
EXECUTABLE = str(Path(sys.executable).with_name("modelkeep"))

ADDRESS = "TESTS_SERVER_POOL"
"""The variable that says where the servers of a run are to be had; see `server_pool`."""

NOTHING_CONFIGURED = {
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""No credentials and no region from the machine that the tests run on."""


@dataclass(frozen=True)
class Said:
    """What a command printed, line by line, and its exit status."""

    status: int
    out: list[str]
    err: list[str]


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """These variables, beside what has nothing to do with AWS, the registry, and whoever runs the tests."""
    own = ("AWS_", "MODELKEEP_", "ACTIONS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | NOTHING_CONFIGURED | dict(variables)


def operate(variables: Mapping[str, str], *arguments: str) -> Said:
    """Run a command that ends, in this process."""
    before, during = dict(os.environ), clean_environment(variables)
    os.environ.clear()
    os.environ.update(during)
    try:
        result = CliRunner().invoke(program, arguments, catch_exceptions=False)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Said(result.exit_code, result.stdout.splitlines(), result.stderr.splitlines())


async def operating(variables: Mapping[str, str], *arguments: str) -> Said:
    """The same, beside a running event loop."""
    return await asyncio.to_thread(operate, variables, *arguments)


class Process(Protocol):
    """A program that runs; as much of `subprocess.Popen` as tests use."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float, /) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Server:
    """A server of the program, in a process of its own."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.url = url
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def wait(self, path: str = "/healthz", *, status: int = 200, patience: float = 30) -> None:
        """Until `path` answers `status`."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            try:
                if httpx.get(f"{self.url}{path}", timeout=2, trust_env=False).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"no {status} from {path}: {self.said()}")

    def stop(self) -> int:
        """Send SIGTERM, as every container engine does, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(
    command: Sequence[str | Path], variables: Mapping[str, str], *, port: int, log: Path, folder: Path = REPOSITORY
) -> Iterator[Server]:
    """Run a server until the block ends; whoever enters waits for it.

    Inside a run of tests, a single process is forked from one that has imported the program; it is the same but for its
    start. Several workers are started by the program itself, in the usual way.
    """
    process = _start(list(map(str, command)), variables, log, folder)
    try:
        yield Server(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _start(command: list[str], variables: Mapping[str, str], log: Path, folder: Path) -> Process:
    workers = command[command.index("--workers") + 1] if "--workers" in command else "1"
    if ADDRESS in os.environ and workers == "1" and command[0] in {EXECUTABLE, sys.executable}:
        from tests.support.server_pool import ask

        forked: Process = ask("forks").start(command, variables, log=log, folder=folder)
        return forked
    with log.open("wb") as output:
        return subprocess.Popen(command, env=clean_environment(variables), stdout=output, stderr=output, cwd=folder)
