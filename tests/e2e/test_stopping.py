"""Graceful shutdown: the service announces it, ends what is under way, and exits within 30 seconds."""

import hashlib
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from modelkeep.admin.serving import GRACE_SECONDS
from modelkeep.settings import Settings
from tests.support.backends import local_environment
from tests.support.journeys.release import Walk
from tests.support.programs import EXECUTABLE, Server, serving
from tests.support.servers import free_port

DELAY = 2.0
GRACE = 3
HURRIED = [
    sys.executable,
    "-c",
    (
        f"from modelkeep.admin import serving; serving.GRACE_SECONDS = {GRACE};"
        " from modelkeep.program import program; program()"
    ),
]
"""The program, with a shorter grace period for what is under way."""
LARGE = bytes(range(256)) * (256 * 1024)
"""64 MiB: more than the sockets between server and client hold."""

WORKERS = pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.thorough)])


@contextmanager
def service(
    folder: Path, *, workers: int = 1, delay: float = DELAY, program: Sequence[str] = (EXECUTABLE,)
) -> Iterator[Server]:
    port = free_port()
    variables = local_environment(folder / "data") | {
        "MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "MODELKEEP_SHUTDOWN_DELAY_SECONDS": str(delay),
    }
    command = [*program, "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with serving(command, variables, port=port, log=folder / "log") as server:
        server.wait("/readyz")
        yield server


def status_of(server: Server, path: str) -> int:
    return httpx.get(f"{server.url}{path}", timeout=5, trust_env=False).status_code


def ask_to_stop(server: Server) -> float:
    server.process.send_signal(signal.SIGTERM)
    return time.monotonic()


@contextmanager
def downloading(server: Server) -> Iterator[socket.socket]:
    """A connection on which a large object arrives faster than it is read."""
    with Walk(server.url) as walk:
        walk.register("fraud-detector", {"model.pt": LARGE})
        url = urlsplit(walk.ask("GET", "/fraud-detector/versions/1/download")["artifacts"][0]["url"])
    with closing(socket.create_connection(("127.0.0.1", url.port or 0), timeout=20)) as client:
        client.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        yield client


@WORKERS
def test_a_draining_service_is_not_ready_and_still_serves(tmp_path: Path, workers: int) -> None:
    with service(tmp_path, workers=workers) as server:
        asked = ask_to_stop(server)
        server.wait("/readyz", status=503)
        time.sleep(DELAY / 4)
        said = httpx.get(f"{server.url}/readyz", trust_env=False)
        assert (said.status_code, said.json()["code"]) == (503, "unavailable")
        assert "stopped" in said.json()["detail"]
        assert (status_of(server, "/healthz"), status_of(server, "/v1/models")) == (200, 200)
        assert server.process.wait(20) == 0
        assert DELAY <= time.monotonic() - asked < DELAY + 15
    assert "Traceback" not in server.said()


def test_a_kept_alive_connection_ends_with_an_answer(tmp_path: Path) -> None:
    """A client that uses its connections all the time must not find one closed in the middle of a request."""
    with service(tmp_path) as server, closing(HTTPConnection("127.0.0.1", urlsplit(server.url).port)) as kept:
        for expected in (None, "close"):
            kept.request("GET", "/v1/models")
            answer = kept.getresponse()
            assert (answer.status, answer.getheader("connection"), bool(answer.read())) == (200, expected, True)
            if expected is None:
                ask_to_stop(server)
                time.sleep(DELAY / 4)
        assert kept.sock is None


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_no_busy_connection_is_closed_while_the_process_drains(tmp_path: Path, workers: int) -> None:
    with service(tmp_path, workers=workers) as server, ThreadPoolExecutor() as pool:
        askers = [pool.submit(ask_until_cut_off, server) for _ in range(4)]
        asked = ask_to_stop(server)
        assert server.process.wait(20) == 0
        for asker in askers:
            assert asker.result(10) - asked >= DELAY


def ask_until_cut_off(server: Server) -> float:
    """The time at which a request first went unanswered."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=10) as http:
        while True:
            try:
                assert http.get("/v1/models").status_code == 200
            except httpx.TransportError:
                return time.monotonic()


@pytest.mark.thorough
@WORKERS
def test_a_slow_download_is_not_cut(tmp_path: Path, workers: int) -> None:
    with service(tmp_path, workers=workers, delay=0) as server, downloading(server) as client:
        received = bytearray(client.recv(65536))
        ask_to_stop(server)
        time.sleep(2)
        assert server.process.poll() is None
        while block := client.recv(1 << 20):
            received += block
        assert received.partition(b"\r\n\r\n")[2] == LARGE
        assert server.process.wait(20) == 0


@WORKERS
def test_a_slow_upload_is_not_cut(tmp_path: Path, workers: int) -> None:
    declared = {"path": "model.pt", "size": len(LARGE), "sha256": hashlib.sha256(LARGE).hexdigest()}
    with service(tmp_path, workers=workers, delay=0) as server, ThreadPoolExecutor() as pool:
        with Walk(server.url) as walk:
            begun = walk.ask("POST", "/fraud-detector/versions", {"artifacts": [declared]}, status=201)
        upload = pool.submit(put_slowly, begun["artifacts"][0]["upload"])
        time.sleep(0.5)
        ask_to_stop(server)
        time.sleep(1)
        assert not upload.done()
        assert upload.result(20) == 200
        assert server.process.wait(20) == 0
    with service(tmp_path) as server, Walk(server.url) as walk:
        assert walk.ask("POST", "/fraud-detector/versions/1/complete")["version"] == 1


def put_slowly(signed: Any) -> int:
    """Send the body in three seconds."""

    def blocks() -> Iterator[bytes]:
        for start in range(0, len(LARGE), len(LARGE) // 32):
            time.sleep(0.1)
            yield LARGE[start : start + len(LARGE) // 32]

    headers = signed["headers"]
    return httpx.put(signed["url"], headers=headers, content=blocks(), trust_env=False, timeout=20).status_code


def test_what_never_ends_is_cut_within_30_seconds() -> None:
    """The test below shows that it is cut, with a shorter grace period."""
    assert GRACE_SECONDS == 25
    assert GRACE_SECONDS + Settings.model_fields["shutdown_delay_seconds"].default < 30


def test_what_never_ends_is_cut_when_its_time_is_over(tmp_path: Path) -> None:
    with service(tmp_path, workers=2, program=HURRIED) as server, downloading(server) as client:
        assert client.recv(100)
        asked = ask_to_stop(server)
        server.process.wait(40)
        assert GRACE < time.monotonic() - asked < GRACE + DELAY + 15


def test_sigint_stops_at_once(tmp_path: Path) -> None:
    with service(tmp_path, delay=30) as server:
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
