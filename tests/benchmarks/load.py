"""Asks a server on loopback as many requests as it can take, or as many as were due, and notes what became of each.

One request at a time on each connection, raw HTTP/1.1 on an asyncio protocol: the loop should be uvloop's, for the side
that asks shares the processors with the side that answers, and must not be the slower one.
"""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self, cast

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
PATIENCE = 30.0
"""Seconds after which a request that was due in time counts as never answered."""


def request(port: int, path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    first = f"{method} {path} HTTP/1.1"
    length = [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    return "\r\n".join([first, f"Host: 127.0.0.1:{port}", *headers, *length, "", ""]).encode() + body


class Answer(NamedTuple):
    """What came back, and whether the connection may be used again."""

    status: int
    body: bytes
    kept: bool


class Connection(asyncio.Protocol):
    """Kept alive, for one request at a time. Raises `ConnectionError` where it ends before the answer."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._head = ""
        self._missing = 0
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        return (await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port))[1]

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._answer.set_exception(ConnectionResetError())
        else:
            self._transport.write(request)
        return self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._head:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = self._received[:end].decode("latin-1").lower()
            self._missing = int(self._head.partition("\r\ncontent-length: ")[2].partition("\r\n")[0] or 0)
            del self._received[: end + 4]
        if len(self._received) >= self._missing:
            self._answered()

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    def _answered(self) -> None:
        answer = Answer(int(self._head[9:12]), bytes(self._received), "\r\nconnection: close" not in self._head)
        self._head = ""
        self._received.clear()
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)


@dataclass
class Tally:
    """What became of requests: answers by status, and of those that were 200 the seconds each took.

    `broken` counts connections that were refused or ended without an answer, and requests that nobody answered.
    Processor seconds are those of the server with all its processes, and of the side that asked.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0
    server_processor: float = 0
    own_processor: float = 0

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)

    @property
    def rate(self) -> float:
        """Answers of 200 in a second."""
        return self.statuses[200] / self.elapsed

    @property
    def cost(self) -> float:
        """Milliseconds of the server's processor time for each answer, whatever its status."""
        return self.server_processor / max(1, self.statuses.total()) * 1000

    @property
    def p50(self) -> float:
        """Milliseconds until half of the answers were there."""
        return statistics.median(self.seconds) * 1000

    def percentile(self, percent: int) -> float:
        """Milliseconds until so many of a hundred answers were there."""
        return sorted(self.seconds)[len(self.seconds) * percent // 100] * 1000

    def errors(self, *expected: int) -> int:
        """How many got no answer, or one of a status that is neither 200 nor expected."""
        return self.broken + sum(count for status, count in self.statuses.items() if status not in {200, *expected})


async def once(port: int, request: bytes) -> Answer:
    connection = await Connection.open(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


async def closed_loop(port: int, request: bytes, *, connections: int, seconds: float, kept: bool = True) -> Tally:
    """So many connections that each ask again as soon as they are answered; one that breaks is opened anew.

    If not `kept`, each request has a fresh connection.
    """
    tally, until = Tally(), time.perf_counter() + seconds
    await _tallied(tally, (_ask_again(port, request, until, tally, kept) for _ in range(connections)), seconds)
    return tally


async def open_loop(port: int, request: bytes, *, count: int, seconds: float, connections: int) -> Tally:
    """So many requests, due evenly over the time whether or not others are answered, each on an idle connection.

    What it took counts from when it was due.
    """
    tally = Tally()
    idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    opened = await asyncio.gather(*(Connection.open(port) for _ in range(connections)))
    for connection in opened:
        idle.put_nowait(connection)
    began = time.perf_counter()
    dues = (began + number * seconds / count for number in range(count))
    await _tallied(tally, (_ask_when_due(port, request, due, tally, idle) for due in dues), seconds)
    while not idle.empty():
        idle.get_nowait().close()
    return tally


async def herd(port: int, request: bytes, count: int) -> Tally:
    """So many fresh connections, opened together, with a request each; it has elapsed with the last answer."""
    tally = Tally()
    await _tallied(tally, (_ask_once(port, request, tally) for _ in range(count)), 0)
    return tally


async def watched(load: Coroutine[None, None, Tally], pid: int) -> Tally:
    """The same load, with what it took of the server's processors and of ours."""
    server, own = processor_seconds(pid), time.process_time()
    tally = await load
    tally.server_processor, tally.own_processor = processor_seconds(pid) - server, time.process_time() - own
    return tally


async def _tallied(tally: Tally, asking: Iterable[Coroutine[None, None, None]], seconds: float) -> None:
    began = time.perf_counter()
    tasks = [asyncio.create_task(each) for each in asking]
    done, pending = await asyncio.wait(tasks, timeout=seconds + PATIENCE)
    tally.elapsed = time.perf_counter() - began
    tally.broken += len(pending)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def _ask_again(port: int, request: bytes, until: float, tally: Tally, kept: bool) -> None:
    connection: Connection | None = None
    while (began := time.perf_counter()) < until:
        try:
            connection = connection or await Connection.open(port)
            answer = await connection.ask(request)
        except OSError:
            tally.broken += 1
            connection = None
            await asyncio.sleep(0)
            continue
        tally.note(answer.status, time.perf_counter() - began)
        if not (kept and answer.kept):
            connection.close()
            connection = None
    if connection:
        connection.close()


async def _ask_when_due(
    port: int, request: bytes, due: float, tally: Tally, idle: "asyncio.LifoQueue[Connection]"
) -> None:
    await asyncio.sleep(due - time.perf_counter())
    connection = await idle.get()
    try:
        answer = await connection.ask(request)
    except OSError:
        tally.broken += 1
    else:
        tally.note(answer.status, time.perf_counter() - due)
        if answer.kept:
            idle.put_nowait(connection)
            return
    idle.put_nowait(await Connection.open(port))


async def _ask_once(port: int, request: bytes, tally: Tally) -> None:
    began = time.perf_counter()
    try:
        answer = await once(port, request)
    except OSError:
        tally.broken += 1
    else:
        tally.note(answer.status, time.perf_counter() - began)


def processor_seconds(pid: int) -> float:
    """What a process and all below it have used."""
    return sum(_used(each) for each in family(pid))


def family(pid: int) -> list[int]:
    """The process and all below it."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            members += map(int, children.read_text().split())
    return members


def resident_mib(pid: int) -> float:
    """The resident memory of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / MIB


def _used(pid: int) -> float:
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / TICKS
