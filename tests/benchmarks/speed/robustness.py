"""The service itself: how soon it answers, what it holds, and what is left of it when far too much is asked."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from statistics import median

from tests.benchmarks.load import Tally, closed_loop, once, processor_seconds, request, resident_mib, watched
from tests.benchmarks.speed.results import Line, Reach
from tests.benchmarks.speed.site import PATIENCE, Backend, Running, Site
from tests.benchmarks.speed.summaries import middle

TOO_MANY = 5
"""Times the connections that the service is fastest with."""


async def process(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """A worker from the command to the first 200 of /readyz, and its memory then and after many resolves."""
    await backend.fill()
    walls, costs = [], []
    for number in range(site.scale.rounds):
        with ExitStack() as stack:
            began = time.perf_counter()
            running = backend.start(stack)
            await _ready(running)
            walls.append(time.perf_counter() - began)
            costs.append(processor_seconds(running.pid))
            if number == site.scale.rounds - 1:
                memory = await _memory(site, backend, running)
    detail = f"{median(costs):.2f} s of CPU; least {min(walls):.2f} s, most {max(walls):.2f} s"
    yield Line("start to ready", backend.name, median(walls), Reach("<=", 2, "s"), detail)
    for line in memory:
        yield line


async def _memory(site: Site, backend: Backend, running: Running) -> Sequence[Line]:
    scale = site.scale
    idle, answered, warm = resident_mib(running.pid), 0, 0.0
    until = time.perf_counter() + scale.request_seconds
    while answered < scale.requests and time.perf_counter() < until:
        tally = await _loaded(running, scale.connections, scale.seconds)
        answered += tally.statuses[200]
        warm = warm or resident_mib(running.pid)
    busy = resident_mib(running.pid)
    detail = f"{busy:.1f} MiB; {warm:.1f} MiB after the first {scale.seconds:g} s of them, {busy / warm - 1:+.1%} since"
    return (
        Line("memory of an idle worker", backend.name, idle, Reach("<=", 130, "MiB"), "RSS as soon as it is ready"),
        Line(
            f"its growth by {answered:,} resolves", backend.name, (busy / idle - 1) * 100, Reach("<=", 5, "%"), detail
        ),
    )


async def overload(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """Five times as many connections that ask again at once, between two looks at what the service can do."""
    await backend.fill()
    scale, service = site.scale, backend.service()
    await _loaded(service, scale.connections, scale.seconds)
    peaks = [await _loaded(service, scale.connections, scale.seconds) for _ in range(scale.rounds)]
    over = await _loaded(service, TOO_MANY * scale.connections, scale.overload_seconds)
    peaks += [await _loaded(service, scale.connections, scale.seconds) for _ in range(scale.rounds)]
    what = f"{TOO_MANY}x overload for {scale.overload_seconds:g} s"
    peak = median(tally.rate for tally in peaks)
    detail = f"peak {middle(peaks)}; overload {middle([over])}, p99 {over.percentile(99):,.1f} ms"
    yield Line(f"throughput of {what} over the peak", backend.name, over.rate / peak, Reach(">=", 0.8), detail)
    statuses = sum((tally.statuses for tally in peaks), Counter[int]())
    counted = f"{dict(over.statuses)}, {over.broken} broken or without an answer; at the peak {dict(statuses)}"
    yield Line(f"errors of {what}", backend.name, over.errors(429, 503), Reach("<=", 0, "errors"), counted)


async def _ready(running: Running) -> None:
    deadline = time.perf_counter() + PATIENCE
    while time.perf_counter() < deadline:
        with suppress(OSError):
            if (await once(running.port, request(running.port, "/readyz"))).status == 200:
                return
        assert running.server.process.poll() is None, running.server.said()
        await asyncio.sleep(0.01)
    raise TimeoutError(running.server.said())


async def _loaded(running: Running, connections: int, seconds: float) -> Tally:
    loading = closed_loop(running.port, running.resolving(), connections=connections, seconds=seconds)
    return await watched(loading, running.pid)
