"""MLflow's server, at its best: each of its settings is tried, and ours is held against the fastest.

It has an environment of its own below `.cache`, made once: SQLite as its store, no login, no telemetry, no jobs, no
access log, httptools. Tried are 1, 2 and 4 workers, asyncio and uvloop, connections that are kept and fresh ones.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from tests.benchmarks.load import Tally, closed_loop, herd, request, watched
from tests.benchmarks.speed.results import Line, Reach, median_ratio, show
from tests.benchmarks.speed.site import MODEL, Backend, Site, side_by_side
from tests.benchmarks.speed.summaries import busiest, middle
from tests.support.programs import NOTHING_CONFIGURED
from tests.support.servers import CACHE, free_port

VERSION = "3.17.2"
PACKAGES = (f"mlflow=={VERSION}", "uvloop", "httptools")
WORKERS = (1, 2, 4)
LOOPS = ("asyncio", "uvloop")
PATIENCE = 300
"""Seconds to start; a worker that imports on a busy machine is not to be killed for that, as uvicorn would after 5."""

API = "/api/2.0/mlflow"
HERDS = 3
"""How often many connect at once, to see which settings are best for that."""

VARIABLES = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


@dataclass(frozen=True)
class Choice:
    """Settings of the server."""

    workers: int
    loop: str

    def __str__(self) -> str:
        return f"{self.workers} {'worker' if self.workers == 1 else 'workers'}, {self.loop}"


@dataclass(frozen=True)
class Tried:
    """How fast it was with them: on connections of each kind, and when many came at once."""

    choice: Choice
    kept: Tally
    fresh: Tally
    herd_seconds: float

    @property
    def best_rate(self) -> float:
        return max(self.kept.rate, self.fresh.rate)

    def __str__(self) -> str:
        rates = f"kept {middle([self.kept])}; fresh {middle([self.fresh])}"
        return f"  MLflow with {self.choice}: {rates}; a herd {self.herd_seconds:.2f} s"


@dataclass(frozen=True)
class Mlflow:
    """A server that answers."""

    port: int
    pid: int

    def resolving(self) -> bytes:
        return request(self.port, f"{API}/registered-models/alias?name={MODEL}&alias=production")


async def mlflow(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """How many resolves a second, and how long until all containers of a fleet have their answer."""
    await backend.fill()
    program = installed()
    tried = [await _try(site, program, Choice(workers, loop)) for workers in WORKERS for loop in LOOPS]
    fastest = max(tried, key=lambda each: each.best_rate)
    calmest = min(tried, key=lambda each: each.herd_seconds)
    for choice in dict.fromkeys((fastest.choice, calmest.choice)):
        with _running(program, site.folder, choice) as server:
            if choice == fastest.choice:
                yield await _throughput(site, backend, server, fastest)
            if choice == calmest.choice:
                yield await _herds(site, backend, server, choice)


def installed() -> Path:
    """The program, which is fetched where it is missing."""
    home = CACHE / f"mlflow-{VERSION}"
    ready = home / "ready"
    if not ready.exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run(["uv", "venv", "--quiet", str(home)], check=True)
        python = str(home / "bin" / "python")
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
        ready.touch()
    return home / "bin" / "mlflow"


async def _throughput(site: Site, backend: Backend, server: Mlflow, best: Tried) -> Line:
    scale, service = site.scale, backend.service()
    kept = best.kept.rate >= best.fresh.rate
    ours, theirs = await side_by_side(
        scale.rounds,
        lambda: _loaded(site, service.port, service.resolving(), service.pid),
        lambda: _loaded(site, server.port, server.resolving(), server.pid, kept=kept),
    )
    reached = median_ratio([tally.rate for tally in ours], [tally.rate for tally in theirs])
    settings = f"{best.choice}, {'kept' if kept else 'fresh'} connections"
    detail = f"ours {middle(ours)}; MLflow ({settings}) {middle(theirs)}; {busiest(ours, theirs)}"
    return Line(f"resolve over MLflow, {scale.connections} connections", backend.name, reached, Reach(">=", 30), detail)


async def _herds(site: Site, backend: Backend, server: Mlflow, choice: Choice) -> Line:
    scale, service = site.scale, backend.service()
    ours, theirs = await side_by_side(
        scale.rounds,
        lambda: _all_at_once(site, service.port, service.resolving(), service.pid),
        lambda: _all_at_once(site, server.port, server.resolving(), server.pid),
    )
    reached = median_ratio([tally.elapsed for tally in ours], [tally.elapsed for tally in theirs])
    lasted = [median(tally.elapsed for tally in side) * 1000 for side in (ours, theirs)]
    detail = (
        f"ours {lasted[0]:,.0f} ms; MLflow ({choice}) {lasted[1]:,.0f} ms; errors {_errors(ours)}, {_errors(theirs)}"
    )
    what = f"{scale.herd} containers at once, time to the last, over MLflow"
    return Line(what, backend.name, reached, Reach("<=", 0.1), detail)


async def _try(site: Site, program: Path, choice: Choice) -> Tried:
    with _running(program, site.folder, choice) as server:
        asked = server.resolving()
        await _loaded(site, server.port, asked, server.pid)
        kept = await _loaded(site, server.port, asked, server.pid)
        fresh = await _loaded(site, server.port, asked, server.pid, kept=False)
        herds = [await _all_at_once(site, server.port, asked, server.pid) for _ in range(HERDS)]
    tried = Tried(choice, kept, fresh, median(tally.elapsed for tally in herds))
    show(tried)
    return tried


async def _loaded(site: Site, port: int, asked: bytes, pid: int, *, kept: bool = True) -> Tally:
    scale = site.scale
    loading = closed_loop(port, asked, connections=scale.connections, seconds=scale.seconds, kept=kept)
    tally = await watched(loading, pid)
    assert not tally.errors(), (tally.statuses, tally.broken)
    return tally


async def _all_at_once(site: Site, port: int, asked: bytes, pid: int) -> Tally:
    return await watched(herd(port, asked, site.scale.herd), pid)


def _errors(tallies: Sequence[Tally]) -> int:
    return sum(tally.errors() for tally in tallies)


@contextmanager
def _running(program: Path, folder: Path, choice: Choice) -> Iterator[Mlflow]:
    """Serve until the block ends; the store is filled the first time."""
    port = free_port()
    options = f"--loop {choice.loop} --http httptools --no-access-log --timeout-worker-healthcheck {PATIENCE}"
    store = f"sqlite:///{folder / 'mlflow.db'}"
    command = [str(program), "server", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(choice.workers), "--uvicorn-opts", options]
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), **NOTHING_CONFIGURED, **VARIABLES}
    log = folder / f"mlflow-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
    try:
        _wait(process, port, log, choice.workers)
        yield Mlflow(port, process.pid)
    finally:
        _stop(process)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path, workers: int) -> None:
    """Until every worker has started and production can be resolved."""
    deadline = time.monotonic() + PATIENCE
    while log.read_text().count("Application startup complete") < workers:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MLflow did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{API}", trust_env=False, timeout=30) as http:
        alias = {"name": MODEL, "alias": "production"}
        if http.get("/registered-models/alias", params=alias).status_code != 200:
            source = f"s3://models/{MODEL}/1"
            http.post("/registered-models/create", json={"name": MODEL}).raise_for_status()
            http.post("/model-versions/create", json={"name": MODEL, "source": source}).raise_for_status()
            http.post("/registered-models/alias", json={**alias, "version": "1"}).raise_for_status()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End it and all it started, which its own way to stop may leave behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
