"""What resolving costs in calls of the table and the store, and what metrics name it."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.faults.outages import outages
from tests.support.hub import Book, Hub

STALE = "x-registry-stale"


async def samples(http: httpx.AsyncClient, name: str, *labels: str) -> dict[str, float]:
    """The samples of a metric by some of its labels."""
    text = (await http.get("/metrics")).text
    return {
        " ".join(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


async def calls(http: httpx.AsyncClient, method: str, path: str) -> dict[str, float]:
    """How often a request calls each operation of the table and the store."""
    metric = ("modelkeep_storage_operation_duration_seconds_count", "backend", "operation", "result")
    before = await samples(http, *metric)
    answer = await http.request(method, path)
    assert answer.status_code < 400, answer.text
    counted = {name: value - before.get(name, 0) for name, value in (await samples(http, *metric)).items()}
    return {operation: count for operation, count in counted.items() if count}


@pytest.mark.parametrize("ref", ["production", "champion", "v2", "v1", "latest", "staging", "commit"])
async def test_resolving_costs_what_a_download_costs(settings: Settings, api: Api, book: Book, ref: str) -> None:
    """Each on a service of its own: once when nothing is remembered, and once more."""
    ref = book.commit(2) if ref == "commit" else ref
    download = f"/v1/models/{book.model}/versions/{ref}/download"
    file = f"/hf/{book.repository}/resolve/{ref}/config.json"
    ways = {"download": ("GET", download), "HEAD": ("HEAD", file), "GET": ("GET", file)}
    cost = {}
    for way, (method, path) in ways.items():
        async with serving(settings) as own:
            cost[way] = [await calls(own.http, method, path) for _ in range(2)]
    assert sum(cost["download"][1].values()) >= 1
    assert cost["HEAD"] == cost["GET"] == cost["download"]


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/api/models/{R}/tree/production?recursive=true", 1),
        ("/api/models/{R}/revision/production", 2),
        ("/api/models/{R}", 2),
        ("/api/models/{R}/refs", 2),
        ("/api/models/{R}/auth-check", 1),
    ],
)
async def test_the_api_reads_little_and_asks_storage_for_nothing(
    settings: Settings, api: Api, book: Book, path: str, most: int
) -> None:
    address = f"/hf{path.replace('{R}', book.repository)}"
    async with serving(settings) as own:
        await own.http.get(address)
        cost = await calls(own.http, "GET", address)
    assert sum(cost.values()) <= most, cost
    assert all(call.startswith("table") for call in cost)


async def test_metrics_have_few_names_for_the_face(settings: Settings, api: Api, book: Book) -> None:
    async with serving(settings) as own:
        for ref in ("v1", "v2", "production", "nothing"):
            for path in ("/{R}/resolve/{V}/config.json", "/api/models/{R}/tree/{V}", "/api/models/{R}/nothing/{V}"):
                await own.http.get(f"/hf{path.replace('{R}', book.repository).replace('{V}', ref)}")
        counted = await samples(own.http, "modelkeep_http_requests_total", "route")
    assert counted.keys() - {"/metrics"} == {
        "/hf/{repository}/{resolve|raw}/{ref}/{path}",
        "/hf/api/models/{repository}/tree/{ref}[/{path}]",
        "-",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/{R}/resolve/production/config.json"),
        ("GET", "/{R}/resolve/production/config.json"),
        ("GET", "/{R}/resolve/production/empty.txt"),
        ("GET", "/api/models/{R}/revision/production"),
        ("GET", "/api/models/{R}"),
        ("GET", "/api/models/{R}/tree/production"),
        ("POST", "/api/models/{R}/paths-info/production"),
    ],
)
async def test_while_the_table_is_away_answers_have_their_age(
    settings: Settings, api: Api, book: Book, method: str, path: str
) -> None:
    with outages() as outage:
        async with serving(settings) as own:
            hub = Hub(own.http)
            fresh = await hub.request(method, path.replace("{R}", book.repository))
            outage.begin()
            stale = await hub.request(method, path.replace("{R}", book.repository))
    assert STALE not in fresh.headers
    assert 0 <= int(stale.headers[STALE]) <= 60
    assert stale.status_code == fresh.status_code
    for name in ("etag", "x-repo-commit", "content-length"):
        assert stale.headers.get(name) == fresh.headers.get(name)
    assert stale.text == fresh.text
