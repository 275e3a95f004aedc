"""Several worker processes over one embedded store."""

import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.support.backends import local_environment
from tests.support.programs import EXECUTABLE, serving
from tests.support.servers import free_port


def ask(connection: HTTPConnection) -> None:
    connection.request("GET", "/v1/models")
    assert connection.getresponse().read()


def seconds_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_no_request_of_a_kept_connection_waits_for_an_acknowledgement_with_two_workers(tmp_path: Path) -> None:
    """Without TCP_NODELAY, which workers on plain asyncio lose, all but the first would take 40 ms: Linux delays them.

    So a quarter of them is quicker on any machine, however busy, unless all are late.
    """
    port = free_port()
    command: list[str | Path] = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    with serving(command, local_environment(tmp_path), port=port, log=tmp_path / "log") as server:
        server.wait("/readyz")
        with closing(HTTPConnection("127.0.0.1", port)) as kept:
            quarter, _, _ = statistics.quantiles(seconds_of(lambda: ask(kept)) for _ in range(60))
            assert quarter < 0.04


def workers_of(pid: int) -> set[int]:
    """Its children, but for the one that looks after semaphores."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return {child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def test_a_worker_that_is_silent_for_a_while_is_not_replaced(tmp_path: Path) -> None:
    """As one is that starts on a busy machine. By default uvicorn would kill it after 5 s, again and again."""
    port = free_port()
    command: list[str | Path] = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    variables = local_environment(tmp_path) | {"MODELKEEP_LOG_LEVEL": "INFO"}
    with serving(command, variables, port=port, log=tmp_path / "log") as server:
        while server.said().count("Application startup complete") < 2:
            time.sleep(0.1)
        before = workers_of(server.process.pid)
        silent = min(before)
        os.kill(silent, signal.SIGSTOP)
        time.sleep(6)
        os.kill(silent, signal.SIGCONT)
        time.sleep(1)
        assert workers_of(server.process.pid) == before
        assert len(before) == 2
