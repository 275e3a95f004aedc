"""The program `modelkeep`, forked from a process that has imported it: there in a moment instead of a second.

python -m tests.support.processes.forks: read one order a line, and answer each in a line.
"""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self
from unittest import mock

from modelkeep.admin import maintenance
from tests.support.programs import REPOSITORY, clean_environment


@dataclass(frozen=True)
class Forked:
    """One run of the program."""

    pid: int
    log: Path
    _forks: "Forks"

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; none, if it has ended."""
        self._forks.order(signal=self.pid, number=int(number))

    def wait(self, seconds: float = 60) -> int | None:
        """The exit status, as `subprocess` has it; `None` if it has not ended in time."""
        status: int | None = self._forks.order(wait=self.pid, seconds=seconds)
        return status

    def said(self) -> list[str]:
        """What it printed."""
        return self.log.read_text().splitlines()


class Forks:
    """Starts the program, with `later` seconds added to the time that its upkeep sees."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, variables: Mapping[str, str], *arguments: str, log: Path, later: float = 0) -> Forked:
        environment = clean_environment(variables)
        pid = self.order(start=arguments, environment=environment, log=str(log), later=later)
        return Forked(pid, log, self)

    def run(self, variables: Mapping[str, str], *arguments: str, log: Path, later: float = 0) -> list[str]:
        """Start the program, and return what it said when it has come to its end, which is a good one."""
        forked = self.start(variables, *arguments, log=log, later=later)
        assert forked.wait() == 0, forked.said()
        return forked.said()

    def order(self, **order: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def forking() -> Iterator[Forks]:
    """A process that forks until the block ends; whatever it started and still runs is killed then."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(
        command, env=clean_environment({}), cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Forks(process)


def _serve() -> None:
    _import_all()
    children: dict[int, int | None] = {}
    for line in sys.stdin:
        match json.loads(line):
            case {"start": arguments, "environment": environment, "log": log, "later": later}:
                answer: int | None = (pid := _fork(arguments, environment, log, timedelta(seconds=later)))
                children[pid] = None
            case {"signal": pid, "number": number}:
                answer = None
                if _status(children, pid, 0) is None:
                    os.kill(pid, number)
            case {"wait": pid, "seconds": seconds}:
                answer = _status(children, pid, seconds)
            case order:
                raise ValueError(order)
        print(json.dumps(answer), flush=True)  # noqa: T201 -- the answer
    for pid in children:
        if _status(children, pid, 0) is None:
            os.kill(pid, signal.SIGKILL)


def _import_all() -> None:
    """Import what the program imports while it runs, and read what botocore reads for each session."""
    from botocore.loaders import JSONFileLoader
    from botocore.session import get_session

    import modelkeep.admin.access_commands
    import modelkeep.admin.commands
    import modelkeep.admin.maintenance
    import modelkeep.admin.serving
    import modelkeep.main
    import modelkeep.storage.aws.dynamodb
    import modelkeep.storage.aws.s3  # noqa: F401

    read = JSONFileLoader.load_file
    models: dict[str, Any] = {}

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if path not in models:
            models[path] = read(loader, path)
        return models[path]

    mock.patch.object(JSONFileLoader, "load_file", load_file).start()
    for service in ("dynamodb", "s3"):
        get_session().create_client(service, region_name="us-east-1")


def _fork(arguments: list[str], environment: dict[str, str], log: str, later: timedelta) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        status = _run(arguments, later)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _run(arguments: list[str], later: timedelta) -> int:
    import typer.main

    from modelkeep.__main__ import program

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + later

    with mock.patch.object(maintenance, "datetime", Later):
        try:
            typer.main.get_command(program).main(arguments, prog_name="modelkeep")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _status(children: dict[int, int | None], pid: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while children[pid] is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children[pid] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > deadline:
            break
        else:
            time.sleep(0.005)
    return children[pid]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _serve()
