"""The client in processes of its own, which can be killed: at any instant, or in the middle of a step."""

import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any
from unittest import mock

from modelkeep.client import RegistryClient
from modelkeep.domain.errors import RegistryError

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["__main__", __name__])

REFUSED = 3
"""The exit status of a call that raised an error of the registry."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the client, in the environment of the tests."""

    url: str
    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    dies: str = ""
    """The step in which the process is killed: `before modelkeep.kit.durable_files.replace_tree`, or `after` it."""
    times: int = 1

    def start(self) -> BaseProcess:
        process = _PROCESSES.Process(target=_run, args=(self, dict(os.environ)), daemon=True)
        process.start()
        return process

    def finish(self, *, status: int = 0) -> None:
        """Call, and wait for the end, which has this exit status."""
        process = self.start()
        process.join(60)
        assert process.exitcode == status, f"exit status {process.exitcode}, not {status}"

    def peak(self) -> int:
        """Call, and return how many bytes of memory the process took at most."""
        mine, its = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_measure, args=(self, dict(os.environ), its), daemon=True)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        peak: int = mine.recv()
        return peak

    def be_killed(self) -> None:
        """Call, and let the process die in the step that is named."""
        self.finish(status=-signal.SIGKILL)

    def be_killed_after(self, seconds: float) -> bool:
        """Call, and kill the process after so many seconds; whether it had not come to its end."""
        process = self.start()
        process.join(seconds)
        process.kill()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
        return process.exitcode != 0


def warm_up() -> None:
    """Start the process that all others are forked from, so that no measurement counts it."""
    process = _PROCESSES.Process(target=print, args=("",), kwargs={"end": ""})
    process.start()
    process.join()


def _run(call: Call, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if call.dies:
        when, where = call.dies.split()
        mock.patch(where, _deadly(pkgutil.resolve_name(where), after=when == "after")).start()
    try:
        with RegistryClient(call.url, **call.client) as registry:
            for _ in range(call.times):
                getattr(registry, call.method)(*call.arguments, **call.options)
    except RegistryError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)


def _measure(call: Call, environment: Mapping[str, str], peak: "Connection[int, int]") -> None:
    _run(call, environment)
    peak.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _deadly(real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> None:
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return call
