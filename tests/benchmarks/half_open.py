"""Does a client notice that thousands of connections to the service never become a request?

    uv run python -m tests.benchmarks.half_open --connections 5000 --seconds 60

The service is `modelkeep dev` in a process of its own, and so are attack and client. The attack holds that many
connections, and opens each anew as soon as it is closed; of three, one says nothing, two say a piece of a head, and a
byte more now and then. The client lists models at a steady rate, every other time on a fresh connection; time
counts from when a request was due, so waiting for another one counts too. Printed: its p50 and p99 before and under
attack, the longest life of a half-open connection, and what a header of 100 MB and a body of 50 MB cost in memory.
"""

import argparse
import multiprocessing
import os
import platform
import select
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

from modelkeep.http.server.process_limits import raise_connection_limits
from tests.support.programs import EXECUTABLE, serving
from tests.support.servers import free_port

MIB = 1024 * 1024
PER_SECOND = 100


class Attack:
    """Half-open connections, and what becomes of them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._held: dict[int, tuple[socket.socket, float]] = {}
        self._speaking: set[int] = set()
        self.opened = 0
        self.longest = 0.0

    def hold(self, count: int, until: float) -> None:
        """Keep that many open, but for those that are being opened."""
        for _ in range(count):
            self._open()
        turn = 0
        while time.monotonic() < until:
            for number, _ in self._poll.poll(0.01):
                self._close(number)
                self._open()
            turn += 1
            for number in list(self._speaking)[turn % 100 :: 100]:
                self._trickle(number)

    def _open(self) -> None:
        client = socket.create_connection(("127.0.0.1", self._port))
        self._poll.register(client, select.EPOLLIN | select.EPOLLHUP)
        self._held[client.fileno()] = client, time.monotonic()
        self.opened += 1
        if self.opened % 3:
            self._speaking.add(client.fileno())
            client.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

    def _close(self, number: int) -> None:
        client, began = self._held.pop(number)
        self._speaking.discard(number)
        client.close()
        self.longest = max(self.longest, time.monotonic() - began)

    def _trickle(self, number: int) -> None:
        with suppress(ConnectionError):  # the poll will tell
            self._held[number][0].send(b"a")


def attack(port: int, count: int, seconds: float) -> tuple[int, float]:
    """How many connections were opened, and how long the longest lived. Elsewhere it would not take our processors."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    raise_connection_limits()
    attack = Attack(port)
    attack.hold(count, time.monotonic() + seconds)
    return attack.opened, attack.longest


def ask(connection: HTTPConnection) -> None:
    connection.request("GET", "/v1/models")
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    answer.read()


def be_honest(port: int, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to when it was answered."""
    kept = HTTPConnection("127.0.0.1", port)
    began, times = time.perf_counter(), []
    for number in range(int(seconds * PER_SECOND)):
        due = began + number / PER_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        if number % 2:
            ask(kept)
        else:
            fresh = HTTPConnection("127.0.0.1", port)
            ask(fresh)
            fresh.close()
        times.append((time.perf_counter() - due) * 1000)
    return times


def describe(what: str, times: list[float]) -> float:
    percentiles = statistics.quantiles(times, n=100)
    print(f"{what:<14} {percentiles[49]:>8.2f} {percentiles[98]:>8.2f} {max(times):>8.1f}   ({len(times)} requests)")
    return percentiles[98]


class Memory:
    """The resident memory of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def _read(self, name: str) -> int:
        line = next(each for each in (self._folder / "status").read_text().splitlines() if each.startswith(name))
        return int(line.split()[1]) * 1024

    @contextmanager
    def growth(self, what: str) -> Iterator[None]:
        """Print how much more it was at most during the block than before it."""
        (self._folder / "clear_refs").write_text("5")  # the peak is as of now
        before = self._read("VmRSS")
        yield
        print(f"{what}: {(self._read('VmHWM') - before) / MIB:.2f} MiB of memory")


def flood(port: int, head: bytes, block: bytes, blocks: int) -> str:
    """Send it all, or as much as is taken, and return the first line of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        sent = 0
        try:
            client.sendall(head)
            for _ in range(blocks):
                client.sendall(block)
                sent += len(block)
        except ConnectionError:
            print(f"cut off after {sent / MIB:.0f} MiB", end=", ")
        return client.recv(64).decode().partition("\r\n")[0]


def measure_memory(port: int, memory: Memory) -> None:
    block = b"a" * MIB
    patch = b"PATCH /v1/models/absent HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    floods = {
        "a header of 100 MB": (b"GET /v1/models HTTP/1.1\r\nX-Long: ", block, 100),
        "a body of 50 MB": (patch + b"Content-Length: %d\r\n\r\n" % (50 * MIB), block, 50),
        "a body of 50 MB, chunked": (patch + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 50),
    }
    for what, (head, piece, count) in floods.items():
        with memory.growth(what):
            print(flood(port, head, piece, count), end="; ")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    port = free_port()
    command = [EXECUTABLE, "dev", "--port", str(port), "--workers", str(given.workers)]
    processes = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as temporary, processes:
        folder = Path(temporary)
        quiet_log = {"MODELKEEP_LOG_LEVEL": "ERROR"}
        with serving(
            [*command, "--data-dir", str(folder / "data")], quiet_log, port=port, log=folder / "log"
        ) as server:
            server.wait()
            measure_memory(port, Memory(server.process.pid))
            print(f"{'':<14} {'p50: ms':>8} {'p99: ms':>8} {'most':>8}")
            quiet = describe("quiet", processes.submit(be_honest, port, given.seconds).result())
            attacking = processes.submit(attack, port, given.connections, given.seconds)
            attacked = describe("under attack", processes.submit(be_honest, port, given.seconds).result())
            opened, longest = attacking.result()
            print(f"p99 ratio {attacked / quiet:.2f}; {opened} connections in all; longest life {longest:.2f} s")


if __name__ == "__main__":
    main()
