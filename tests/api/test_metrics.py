"""Metrics of storage, changes and bytes. Those of requests and authentications are in `test_health`."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.events import EventType
from modelkeep.services import health
from modelkeep.settings import Settings
from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import CommitStateUnknownError, TransactionConflictError
from tests.support.access import secured
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.network import answers
from tests.support.faults.proxy import Proxy
from tests.support.servers import AwsServer

CALLS = "modelkeep_storage_operation_duration_seconds_count"


class Meter:
    """A service of its own, and how far its counters have gone."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        text = (await self.api.http.get("/metrics")).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float:
        return (await self.samples()).get((name, frozenset(labels.items())), 0)

    async def changes(self) -> dict[str, float]:
        """Changes by type, without those that there were none of."""
        found = await self.samples()
        return {
            dict(labels)["type"]: value
            for (name, labels), value in found.items()
            if name == "modelkeep_changes_total" and value
        }


@pytest.fixture
async def meter(api: Api, settings: Settings) -> AsyncIterator[Meter]:
    async with serving(settings) as own:
        yield Meter(own)


async def test_calls_are_counted_by_backend_operation_and_result(meter: Meter, model: str) -> None:
    await meter.api.register(model)
    await meter.api.download(model, "1")
    assert await meter.value(CALLS, backend="table", operation="transact", result="ok") == 2
    assert await meter.value(CALLS, backend="store", operation="stat", result="ok") >= 1
    assert await meter.value(CALLS, backend="table", operation="get", result="ok") >= 3
    spent = await meter.value(
        "modelkeep_storage_operation_duration_seconds_sum", backend="table", operation="transact", result="ok"
    )
    assert 0 < spent < 60


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (TransactionConflictError("others"), "contended"),
        (CommitStateUnknownError("lost"), "outcome_unknown"),
        (UnavailableError("away"), "unavailable"),
    ],
    ids=["contended", "outcome_unknown", "unavailable"],
)
async def test_contention_and_lost_replies_are_counted(
    meter: Meter, settings: Settings, model: str, monkeypatch: pytest.MonkeyPatch, error: Exception, result: str
) -> None:
    table = SqliteTable if settings.backend == "local" else DynamoDbTable
    transact, failures = table.transact, [error]

    async def fail_once(*arguments: object, **options: object) -> None:
        if failures:
            raise failures.pop()
        await transact(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(table, "transact", fail_once)
    path, body = f"/models/{model}/versions", {"artifacts": [{"path": "a", "size": 1, "sha256": "9f" * 32}]}
    answer = await meter.api.request("POST", path, json=body)
    assert answer.status_code == (503 if result == "unavailable" else 201)
    assert await meter.value(CALLS, backend="table", operation="transact", result=result) == 1
    begun = 0 if result == "unavailable" else 1
    assert await meter.value("modelkeep_changes_total", type="upload_begun") == begun
    assert await meter.value(CALLS, backend="table", operation="transact", result="ok") == begun


async def test_changes_are_counted_by_type_and_versions_by_their_bytes(meter: Meter, model: str) -> None:
    assert await meter.changes() == {}
    await meter.api.register(model, {"model.pt": b"12345", "config.json": b"{}"})
    await meter.api.begin(model, {"model.pt": b"given up"})
    await meter.api.ask("DELETE", f"/{model}/versions/2/upload", status=204)
    await meter.api.promote(model, 1)
    await meter.api.promote(model, 1)
    assert await meter.changes() == {
        "upload_begun": 2,
        "upload_abandoned": 1,
        "version_completed": 1,
        "stage_changed": 1,
    }
    assert await meter.value("modelkeep_registered_bytes_total") == 7


async def test_a_repeat_with_the_same_key_is_counted_once(meter: Meter, model: str) -> None:
    files = {"model.pt": b"x"}
    for _ in range(3):
        await meter.api.begin(model, files, key="run-1")
    assert await meter.changes() == {"upload_begun": 1}


async def test_every_type_of_change_is_there_before_it_happens(meter: Meter) -> None:
    found = await meter.samples()
    types = {dict(labels)["type"] for name, labels in found if name == "modelkeep_changes_total"}
    assert types == {str(kind) for kind in EventType}
    assert await meter.value("modelkeep_storage_retries_total", backend="store") == 0
    assert ("modelkeep_storage_retries_total", frozenset({("backend", "table")})) in found


async def test_labels_name_no_model_and_no_principal(settings: Settings, api: Api, model: str) -> None:
    async with secured(settings) as service:
        caller = await service.who("admin", principal="ada-of-the-risk-team")
        await caller.register(model)
        await asyncio.gather(*(caller.request("GET", f"/models/{model}-{n}") for n in range(5)))
        text = (await service.anonymous.http.get("/metrics")).text
    assert model not in text
    assert "ada-of-the-risk-team" not in text
    labels = {name for family in text_string_to_metric_families(text) for s in family.samples for name in s.labels}
    assert labels == {"method", "route", "status", "code", "le", "backend", "operation", "result", "type"}


async def test_what_the_sdk_sends_again_is_counted(ministack: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 30)
    with Proxy().running() as proxy:
        proxy.behind = int(ministack.endpoint.rpartition(":")[2])
        variables = aws_environment(AwsServer(proxy.url))
        with environment(variables) as settings:
            await prepare(settings)
            async with serving(settings) as api:
                meter = Meter(api)
                proxy.when("POST", "^/$", answers(500), times=1)
                proxy.when("HEAD", "^/registry-", answers(500), times=2)
                assert (await api.http.get("/readyz")).status_code == 200
                assert await meter.value("modelkeep_storage_retries_total", backend="table") == 1
                assert await meter.value("modelkeep_storage_retries_total", backend="store") == 2
                assert await meter.value(CALLS, backend="store", operation="reach", result="ok") == 1
