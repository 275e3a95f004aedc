"""Traces as a collector gets them, and that a service without a collector needs nothing for them."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from modelkeep.domain.errors import UnavailableError
from modelkeep.http.context import context_of
from modelkeep.http.middleware.tracing import TracingMiddleware
from modelkeep.settings import Settings
from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.telemetry.tracing import ENDPOINT, FLUSH_SECONDS, NOT_INSTALLED, Tracing
from tests.support.access import secured
from tests.support.api import Api, serving
from tests.support.backends import local_environment
from tests.support.collectors import CLIENT, SERVER, Collector, attributes
from tests.support.programs import operate
from tests.support.servers import free_port

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GET_MODEL = "GET /v1/models/{model}"


@pytest.fixture
async def prepared(api: Api, settings: Settings) -> Settings:
    return settings


async def test_a_request_is_a_span_of_its_route_and_what_was_decided(
    prepared: Settings, collector: Collector, model: str
) -> None:
    async with secured(prepared) as service:
        promoter = await service.who("admin", principal="release")
        await promoter.register(model)
        await promoter.request("GET", f"/models/{model}?x=canary-query", headers={"x-request-id": "one"})
    (span,) = [span for span in collector.spans() if span.name == GET_MODEL]
    found = attributes(span)
    assert found.pop("modelkeep.rule").startswith("token:")
    assert found == {
        "http.route": "/v1/models/{model}",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "modelkeep.request_id": "one",
        "modelkeep.principal": "release",
        "modelkeep.action": "model.read",
        "modelkeep.model": model,
        "modelkeep.decision": "allowed",
    }
    assert span.kind == SERVER
    assert span.status.code == 0
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
    assert collector.services() == {"modelkeep"}
    assert set(collector.paths) == {"/v1/traces"}
    assert "canary-query" not in collector.text()


async def test_storage_operations_are_children_of_their_request(
    prepared: Settings, collector: Collector, model: str
) -> None:
    async with serving(prepared) as api:
        await api.register(model)
    spans = collector.spans()
    (completed,) = [span for span in spans if span.name.endswith("/complete")]
    below = [span for span in spans if span.parent_span_id == completed.span_id]
    assert {span.name for span in below} >= {"table.get", "table.transact", "store.stat"}
    for span in below:
        assert span.kind == CLIENT
        assert span.trace_id == completed.trace_id
        assert attributes(span) == {"modelkeep.result": "ok"}
        assert completed.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= completed.end_time_unix_nano
    assert not [span for span in spans if not span.parent_span_id and span.kind != SERVER]


async def test_a_request_belongs_to_the_trace_of_its_caller(
    prepared: Settings, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=canary-state"}
    async with serving(prepared.model_copy(update={"log_level": "INFO"})) as api:
        await api.request("GET", "/models/traced", headers=sent)
        await api.request("GET", "/models/traced", headers={"traceparent": "00-nonsense-x-01"})
    traced, alone = [span for span in collector.spans() if span.name == GET_MODEL]
    assert (traced.trace_id.hex(), traced.parent_span_id.hex()) == (TRACE, PARENT)
    assert (alone.trace_id.hex() != TRACE, alone.parent_span_id) == (True, b"")
    assert f'"trace_id": "{TRACE}"' in capsys.readouterr().err
    assert "canary-state" not in collector.text()


async def test_a_request_that_its_caller_does_not_sample_is_not_traced(
    prepared: Settings, collector: Collector
) -> None:
    async with serving(prepared) as api:
        await api.request("GET", "/models/traced", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        await api.request("GET", "/models")
    assert [span.name for span in collector.spans() if span.kind == SERVER] == ["GET /v1/models"]


async def test_a_failure_is_marked_and_says_nothing_of_itself(
    prepared: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise UnavailableError("canary-of-a-failure")

    table = SqliteTable if prepared.backend == "local" else DynamoDbTable
    async with serving(prepared) as api:
        monkeypatch.setattr(table, "get", fail)
        answer = await api.request("GET", "/models/m")
        monkeypatch.undo()
    assert answer.status_code == 503
    spans = {span.name: span for span in collector.spans()}
    request, call = spans[GET_MODEL], spans["table.get"]
    assert (request.status.code, call.status.code) == (2, 2)
    assert attributes(call) == {"modelkeep.result": "unavailable"}
    assert attributes(request)["http.response.status_code"] == 503
    assert not request.events
    assert not call.events
    assert "canary-of-a-failure" not in collector.text()


async def test_an_unhandled_exception_is_an_error_without_its_text(
    prepared: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("canary-of-an-exception")

    monkeypatch.setattr("modelkeep.services.models.ModelService.get", fail)
    async with serving(prepared) as api:
        assert (await api.request("GET", "/models/m")).status_code == 500
    (span,) = [span for span in collector.spans() if span.name == GET_MODEL]
    assert (span.status.code, span.status.message, len(span.events)) == (2, "", 0)
    assert attributes(span)["http.response.status_code"] == 500
    assert "canary-of-an-exception" not in collector.text()


async def test_an_answer_that_breaks_off_is_an_error_without_its_text(collector: Collector) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        context_of(scope).request_id = "one"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("canary-of-a-stream")

    async def nothing(*_: object) -> Any:
        return None

    tracing = Tracing()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    async with tracing.exported():
        with pytest.raises(RuntimeError):
            await TracingMiddleware(app, tracing.tracer)(scope, nothing, nothing)
    (span,) = collector.spans()
    assert (span.status.code, span.status.message, len(span.events)) == (2, "", 0)
    assert "canary-of-a-stream" not in collector.text()


async def test_an_address_that_is_no_route_names_no_url(prepared: Settings, collector: Collector) -> None:
    async with serving(prepared) as api:
        await api.http.get("/nowhere/canary-path")
    assert [span.name for span in collector.spans()] == ["GET"]
    assert "canary-path" not in collector.text()


async def test_a_secret_that_gets_into_a_span_is_cut_out(prepared: Settings, collector: Collector) -> None:
    secret = "Zq9" * 14 + "x"
    async with serving(prepared) as api:
        await api.request("GET", f"/models/m/versions/mr_0123456789a_{secret}_00000000/download")
    assert secret not in collector.text()


async def test_the_name_and_the_attributes_of_the_service_are_the_operators(
    prepared: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "models-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    async with serving(prepared) as api:
        await api.http.get("/healthz")
    assert collector.services() == {"models-eu"}
    found = attributes(collector.requests[0].resource_spans[0].resource)
    assert found["deployment.environment.name"] == "prod"
    assert not [name for name in found if name.startswith("process.")]


async def test_a_collector_that_is_away_costs_no_request_and_a_moment_at_the_end(
    prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
    async with serving(prepared) as api:
        for _ in range(20):
            assert (await api.http.get("/healthz")).status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < FLUSH_SECONDS + 10


def test_a_missing_extra_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ValueError, match=r"modelkeep\[otel\]"):
        Tracing()
    said = operate({**local_environment(tmp_path), ENDPOINT: "http://127.0.0.1:9"}, "serve", "--host", "127.0.0.1")
    assert (said.status, said.err) == (2, [NOT_INSTALLED])


def test_without_a_collector_the_sdk_is_not_even_imported() -> None:
    script = (
        "import sys; from modelkeep.main import create_app; from modelkeep.settings import Settings;"
        " create_app(Settings(backend='local', auth='none'));"
        " print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert logging.getLogger("opentelemetry").level == logging.WARNING
