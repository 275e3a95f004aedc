"""The benchmarks still run, and what they count is what happened."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle

import pytest

from tests.benchmarks.load import closed_loop, herd, open_loop, request
from tests.support.programs import REPOSITORY, clean_environment
from tests.support.servers import AwsServer

Respond = Callable[[], Awaitable[int | None]]
"""The status of an answer, or `None` to break the connection instead."""

LINES = {
    "resolve over a bare route": "local",
    "table reads of": "local",
    "errors of 40 resolves": "local",
    "time to resolve 20 artifacts": "local",
    "promote over a bare": "ministack",
    "promote: 30 versions over 2": "local",
    "resolve: 30 versions over 2": "local",
    "list the first page: 30 versions over 2": "local",
    "p50 of a kept connection": "local",
    "start to ready": "local",
    "memory of an idle worker": "local",
    "its growth by": "local",
    "last of 20 waiting is told": "local",
    "20 waiting for nothing": "local",
    "throughput of 5x overload": "local",
    "errors of 5x overload": "local",
}


@asynccontextmanager
async def answering(respond: Respond) -> AsyncIterator[int]:
    """The port of a server that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                status = await respond()
                if status is None:
                    return
                writer.write(b"HTTP/1.1 %d Whatever\r\nContent-Length: 5\r\n\r\nhello" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_load_counts_every_answer_and_every_broken_connection() -> None:
    turns = cycle((200, 503, None, 429, 500))
    served: Counter[int | None] = Counter()

    async def respond() -> int | None:
        served[status := next(turns)] += 1
        return status

    async with answering(respond) as port:
        tally = await closed_loop(port, request(port, "/"), connections=3, seconds=0.2)
    assert tally.broken == served.pop(None) > 0
    assert tally.statuses == served
    assert tally.errors(429, 503) == tally.broken + served[500]
    assert len(tally.seconds) == served[200] == round(tally.rate * tally.elapsed)


async def test_a_refused_connection_is_a_broken_one() -> None:
    async def respond() -> int:
        return 200

    async with answering(respond) as port:
        pass
    assert (await closed_loop(port, request(port, "/"), connections=1, seconds=0.01)).broken > 0
    assert (await herd(port, request(port, "/"), 3)).errors() == 3


async def test_a_request_that_had_to_wait_took_so_long() -> None:
    """Ten are due within 20 ms, and one after the other takes 20 ms each."""

    async def respond() -> int:
        await asyncio.sleep(0.02)
        return 200

    async with answering(respond) as port:
        tally = await open_loop(port, request(port, "/"), count=10, seconds=0.02, connections=1)
    assert tally.statuses == {200: 10}
    assert max(tally.seconds) > 0.18


async def test_a_herd_is_there_all_at_once() -> None:
    everybody = asyncio.Barrier(20)

    async def respond() -> int:
        await everybody.wait()
        return 200

    async with answering(respond) as port:
        assert (await herd(port, request(port, "/"), 20)).statuses == {200: 20}


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_every_figure_of_speed_can_be_measured(ministack: AwsServer) -> None:
    """Quickly, so none of them means anything."""
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--quick", "--backends", "local", "ministack"]
    variables = clean_environment(ministack.environment())
    run = subprocess.run(command, check=False, cwd=REPOSITORY, env=variables, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for what, backend in LINES.items():
        (line,) = [line for line in run.stdout.splitlines() if line.startswith(what)]
        assert backend in line
        assert ("NOT REACHED" in line) != ("  reached  " in line)
