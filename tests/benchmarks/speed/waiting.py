"""Long polling: what it costs to wait, and how soon the last of many containers is told of a promotion."""

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import median

import httpx

from tests.benchmarks.load import Answer, Connection, processor_seconds, request
from tests.benchmarks.speed.results import Line, Reach
from tests.benchmarks.speed.site import MODEL, Backend, Running, Site

WAIT_SECONDS = 60
"""For which each asks; they are told much sooner."""

REACH = {"last told": Reach("<=", 0.3, "s"), "idle": Reach("<=", 10, "ms")}


async def waiting(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """So many kept connections wait for another version, which the same process then promotes."""
    await backend.fill()
    scale, service = site.scale, backend.service()
    idle, last, first = [], [], []
    connections = [await Connection.open(service.port) for _ in range(scale.waiting)]
    for turn in range(scale.rounds):
        asking = _asking(service)
        answers = [each.ask(asking) for each in connections]
        await asyncio.sleep(2)  # all have asked by then
        before = processor_seconds(service.pid)
        await asyncio.sleep(scale.idle_seconds)
        idle.append((processor_seconds(service.pid) - before) / scale.idle_seconds * 1000)
        assert not any(each.done() for each in answers)
        promoting, began = await Connection.open(service.port), time.perf_counter()
        promoted = await promoting.ask(service.promoting(MODEL, 2 - turn % 2))
        told = [asyncio.ensure_future(_told(each, began)) for each in answers]
        assert promoted.status == 200
        seconds = sorted(await asyncio.gather(*told))
        first.append(seconds[0])
        last.append(seconds[-1])
        promoting.close()
    for each in connections:
        each.close()
    detail = f"first {median(first):.3f} s; least {min(last):.3f} s, most {max(last):.3f} s"
    yield Line(f"last of {scale.waiting:,} waiting is told", backend.name, median(last), REACH["last told"], detail)
    detail = f"of CPU in each second; least {min(idle):.1f}, most {max(idle):.1f}"
    yield Line(f"{scale.waiting:,} waiting for nothing", backend.name, median(idle), REACH["idle"], detail)


async def _told(answer: "asyncio.Future[Answer]", began: float) -> float:
    await answer
    return time.perf_counter() - began


def _asking(service: Running) -> bytes:
    path = f"/v1/models/{MODEL}/versions/production/download"
    known = httpx.get(f"http://127.0.0.1:{service.port}{path}", trust_env=False).headers["etag"]
    return request(service.port, f"{path}?wait={WAIT_SECONDS}", f"If-None-Match: {known}")
