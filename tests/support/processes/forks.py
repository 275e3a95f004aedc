"""Programs that are forked from a process that has imported `modelkeep`: there in a moment instead of a second.

python -m tests.support.processes.forks ADDRESS: take orders at a socket until told to end.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, Self
from unittest import mock

from modelkeep.admin import maintenance
from tests.support.programs import EXECUTABLE, REPOSITORY, clean_environment

POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Forked:
    """One run of a program: as much of `subprocess.Popen` as tests use."""

    pid: int
    log: Path
    _forks: "Forks"

    def poll(self) -> int | None:
        """The exit status, as `subprocess` has it; `None` while it runs."""
        status: int | None = self._forks.order(status=self.pid)
        return status

    def wait(self, timeout: float = 60) -> int:
        """The exit status. Raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a forked program", timeout)
            time.sleep(POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal; none, if it has ended."""
        self._forks.order(signal=self.pid, number=int(number))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def said(self) -> list[str]:
        """What it printed."""
        return self.log.read_text().splitlines()


@dataclass(frozen=True)
class Forks:
    """Starts programs, with `later` seconds added to the time that the operator's upkeep sees."""

    address: str

    def start(
        self,
        command: Sequence[str | Path],
        variables: Mapping[str, str],
        *,
        log: Path,
        folder: Path = REPOSITORY,
        later: float = 0,
    ) -> Forked:
        """A command is the program's, or Python's with -m or -c."""
        words = list(map(str, command))
        order = {"environment": clean_environment(variables), "log": str(log), "folder": str(folder), "later": later}
        return Forked(self.order(start=words, **order), log, self)

    def listens(self) -> bool:
        """Whether orders are taken yet: the socket has its name a moment before."""
        try:
            self.order()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def order(self, **order: Any) -> Any:
        with Client(self.address) as server:
            server.send(order)
            return server.recv()


@contextmanager
def forking(folder: Path) -> Iterator[Forks]:
    """A process that forks until the block ends; whatever it started and still runs is killed then."""
    address = str(folder / "forks")
    command = [sys.executable, "-m", __name__, address]
    with subprocess.Popen(command, env=clean_environment({}), cwd=REPOSITORY) as process:
        forks = Forks(address)
        while not forks.listens():
            assert process.poll() is None
            time.sleep(POLL_SECONDS)
        try:
            yield forks
        finally:
            forks.order(end=True)


def _serve(address: str) -> None:
    _import_all()
    children: dict[int, int | None] = {}
    with Listener(address, backlog=32) as listener:
        is_over = False
        while not is_over:
            with listener.accept() as caller:
                order = caller.recv()
                is_over = "end" in order
                caller.send(_obey(order, children))
    for pid in children:
        if _status(children, pid) is None:
            os.kill(pid, signal.SIGKILL)


def _obey(order: Mapping[str, Any], children: dict[int, int | None]) -> int | None:
    match order:
        case {"start": command, "environment": environment, "log": log, "folder": folder, "later": later}:
            pid = _fork(command, environment, log, folder, timedelta(seconds=later))
            children[pid] = None
            return pid
        case {"status": pid}:
            return _status(children, pid)
        case {"signal": pid, "number": number}:
            if _status(children, pid) is None:
                os.kill(pid, number)
    return None


def _import_all() -> None:
    """Import what the program imports while it runs, and read what botocore reads for each session."""
    from botocore.loaders import JSONFileLoader
    from botocore.session import get_session

    import modelkeep.admin.commands
    import modelkeep.admin.direct_access
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


def _fork(command: list[str], environment: dict[str, str], log: str, folder: str, later: timedelta) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        status = _run(command, later)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _run(command: list[str], later: timedelta) -> int:
    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + later

    with mock.patch.object(maintenance, "datetime", Later):
        try:
            _as_main(command)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _as_main(command: list[str]) -> None:
    match command:
        case [program, *arguments] if program == EXECUTABLE:
            from modelkeep.program import program as run

            sys.argv = [program, *arguments]
            run()
        case [_, "-m", module, *arguments]:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [_, "-c", code, *arguments]:
            sys.argv = ["-c", *arguments]
            exec(code, {"__name__": "__main__"})


def _status(children: dict[int, int | None], pid: int) -> int | None:
    if children[pid] is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children[pid] = os.waitstatus_to_exitcode(status)
    return children[pid]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _serve(sys.argv[1])
