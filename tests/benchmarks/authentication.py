"""What does it cost to know who asks? At most 15 % of resolve throughput is promised, for a token seen before.

    uv run python -m tests.benchmarks.authentication --rounds 7 --seconds 4

One `modelkeep serve` on the local store, in a process of its own, with MODELKEEP_AUTH=none: it asks nobody, and who
shows a token all the same is authenticated and held to it. So the same process is asked for production in turn without
a token and with one, the other first every other round, over 32 connections that are kept alive. Printed: medians over
the rounds of requests a second, of the server's own processor time a request, and of what the token costs of each.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import uvloop

from modelkeep.admin.access import create_token
from modelkeep.schemas.access import Grants
from modelkeep.settings import Settings
from tests.benchmarks.load import closed_loop, request, watched
from tests.support.api import serving as in_process
from tests.support.backends import environment, local_environment
from tests.support.programs import EXECUTABLE, Server, serving
from tests.support.servers import free_port

MODEL = "fraud-detector"
CONNECTIONS = 32
UNLIMITED = {"MODELKEEP_REQUESTS_PER_10_SECONDS": "1000000000", "MODELKEEP_LOG_LEVEL": "WARNING"}


@dataclass
class Case:
    """A request, and what was measured on it: requests a second, and milliseconds of the server's processor time."""

    name: str
    request: bytes
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


async def measure(server: Server, port: int, case: Case, seconds: float) -> None:
    loading = closed_loop(port, case.request, connections=CONNECTIONS, seconds=seconds)
    tally = await watched(loading, server.process.pid)
    assert not tally.errors(), tally.statuses
    case.rates.append(tally.rate)
    case.costs.append(tally.cost)


async def compare(server: Server, port: int, cases: Sequence[Case], rounds: int, seconds: float) -> None:
    for case in cases:
        await measure(server, port, Case(case.name, case.request), 1)
    for number in range(rounds):
        for case in cases if number % 2 else cases[::-1]:
            await measure(server, port, case, seconds)


def report(plain: Case, known: Case) -> None:
    print(f"{'':<12} {'requests/s':>11} {'ms of processor':>16}")
    for case in (plain, known):
        print(f"{case.name:<12} {statistics.median(case.rates):>11.0f} {statistics.median(case.costs):>16.3f}")
    slower = statistics.median(1 - ours / none for none, ours in zip(plain.rates, known.rates, strict=True))
    dearer = statistics.median(ours / none - 1 for none, ours in zip(plain.costs, known.costs, strict=True))
    print(f"a token costs {slower:.1%} of throughput, and {dearer:.1%} more processor time")


async def prepare(settings: Settings) -> str:
    """Put a version into production, and return the token of somebody who may read it."""
    async with in_process(settings) as api:
        await api.promote(MODEL, await api.register(MODEL))
    grants = Grants(allow=["reader"], models=["ranking-*", "fraud-*"]).to_grants("")
    return (await create_token(settings, "benchmark", grants, timedelta(days=1)))[1].text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    port = free_port()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        variables = local_environment(folder / "data") | UNLIMITED
        with environment(variables) as settings:
            token = asyncio.run(prepare(settings))
        command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port)]
        with serving(command, variables, port=port, log=folder / "log") as server:
            server.wait()
            path = f"/v1/models/{MODEL}/versions/production/download"
            plain = Case("no token", request(port, path))
            known = Case("a token", request(port, path, f"Authorization: Bearer {token}"))
            uvloop.run(compare(server, port, [plain, known], given.rounds, given.seconds))
            report(plain, known)


if __name__ == "__main__":
    main()
