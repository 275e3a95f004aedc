"""Resolving production: against a bare route, under a known load, with many artifacts, with two workers."""

from collections.abc import AsyncIterator

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.benchmarks.load import Tally, closed_loop, once, open_loop, watched
from tests.benchmarks.speed.results import Line, Reach, median_ratio
from tests.benchmarks.speed.site import MODEL, Backend, Running, Site, side_by_side
from tests.benchmarks.speed.summaries import compared, middle


async def resolve(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """The same bytes from a route that does nothing else."""
    ours, bare = await _both(site, backend, MODEL, artifacts=1)
    tallies = await side_by_side(
        site.scale.rounds,
        lambda: _loaded(site, ours, ours.resolving()),
        lambda: _loaded(site, bare, bare.resolving(_name(backend, MODEL))),
    )
    what = f"resolve over a bare route, {site.scale.connections} connections"
    rates = [[tally.rate for tally in side] for side in tallies]
    reached = median_ratio(*rates)
    yield Line(what, backend.name, reached, Reach(">=", 0.6), compared("bare", *tallies))


async def artifacts(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """A version with many artifacts, each with a URL that was signed for it."""
    count = site.scale.artifacts
    ours, bare = await _both(site, backend, "many-artifacts", artifacts=count)
    name = _name(backend, "many-artifacts")
    tallies = await side_by_side(
        site.scale.rounds,
        lambda: _loaded(site, ours, ours.resolving("many-artifacts"), connections=1),
        lambda: _loaded(site, bare, bare.resolving(name), connections=1),
    )
    times = [[tally.p50 for tally in side] for side in tallies]
    answer = (await once(ours.port, ours.resolving("many-artifacts"))).body
    detail = f"{compared('bare', *tallies)}; {len(answer):,} bytes"
    yield Line(
        f"time to resolve {count:,} artifacts over a bare route",
        backend.name,
        median_ratio(*times),
        Reach("<=", 2),
        detail,
    )


async def reads(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """What many containers that start within seconds cost the table, by the service's own count; one run."""
    await backend.fill()
    scale, service = site.scale, backend.service()
    before = table_reads(service)
    loading = open_loop(
        service.port,
        service.resolving(),
        count=scale.arrivals,
        seconds=scale.arrival_seconds,
        connections=scale.herd,
    )
    tally = await watched(loading, service.pid)
    read = table_reads(service) - before
    what = f"of {scale.arrivals:,} resolves in {scale.arrival_seconds:g} s"
    detail = f"p50 {tally.p50:.1f} ms, p99 {tally.percentile(99):,.1f} ms, all ended after {tally.elapsed:.1f} s"
    yield Line(f"table reads {what}", backend.name, read, Reach("<=", 1_000, "reads"), f"{detail}; {middle([tally])}")
    counted = f"{dict(tally.statuses)}, {tally.broken} broken or without an answer"
    yield Line(f"errors {what}", backend.name, tally.errors(), Reach("<=", 0, "errors"), counted)


async def workers(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """One kept connection, which with two workers is one worker's: nothing may get slower by there being another."""
    await backend.fill()
    two, one = backend.service(workers=2), backend.service(workers=1)
    tallies = await side_by_side(
        site.scale.rounds,
        lambda: _loaded(site, two, two.resolving(), connections=1),
        lambda: _loaded(site, one, one.resolving(), connections=1),
    )
    times = [[tally.p50 for tally in side] for side in tallies]
    detail = compared("one worker", *tallies, ours="two workers")
    yield Line(
        "p50 of a kept connection, 2 workers over 1", backend.name, median_ratio(*times), Reach("<=", 1.5), detail
    )


def table_reads(service: Running) -> float:
    """What the service has read of its table, by its own count."""
    text = httpx.get(f"http://127.0.0.1:{service.port}/metrics", trust_env=False).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "modelkeep_storage_operation_duration_seconds_count"
        and sample.labels["backend"] == "table"
        and sample.labels["operation"] != "transact"
    )


async def _both(site: Site, backend: Backend, model: str, *, artifacts: int) -> tuple[Running, Running]:
    """The service, and the bare route with the same answer."""
    await backend.fill(model, artifacts=artifacts)
    ours = backend.service()
    answer = await once(ours.port, ours.resolving(model))
    assert answer.status == 200, answer
    return ours, await site.bare({_name(backend, model): answer.body})


def _name(backend: Backend, model: str) -> str:
    return f"{model}-{backend.name}"


async def _loaded(site: Site, running: Running, request: bytes, connections: int | None = None) -> Tally:
    scale = site.scale
    loading = closed_loop(running.port, request, connections=connections or scale.connections, seconds=scale.seconds)
    tally = await watched(loading, running.pid)
    assert not tally.errors(), tally.statuses
    return tally
