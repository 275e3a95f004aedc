"""Secrets that are planted wherever a caller can put one come out nowhere: by no log, error, metric, event or trace."""

import io
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelkeep.domain.access.trust import IssuerKind
from modelkeep.services.models import ModelService
from modelkeep.settings import Settings
from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import TableUnavailableError
from modelkeep.telemetry.logging import configure
from modelkeep.telemetry.tracing import ENDPOINT
from tests.support.access import secured
from tests.support.collectors import Collector
from tests.support.faults.network import answers
from tests.support.issuers import AUDIENCE, IssuerServer, issuer_server
from tests.support.journeys.canaries import forms, leaks
from tests.support.journeys.secret_leak_scan import MODEL, PASSWORD, CanaryWalk, Shown, identities, tokens
from tests.support.programs import EXECUTABLE, serving
from tests.support.servers import free_port
from tests.support.upkeep import Storage, looking_into

SESSION = "FwoGZXIvYXdzECanaryOfASessionTokenThatTheSignedUrlsCarry0123456789"


@pytest.fixture
def issuer() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


@pytest.fixture
def access_file(issuer: IssuerServer, tmp_path: Path) -> Path:
    rule = {"id": "main", "issuer": "github", "match": {"repository_id": 740216803}, "allow": ["admin"]}
    issuers = {"github": {"kind": "github", "url": issuer.url, "audience": AUDIENCE}}
    file = tmp_path / "access.json"
    file.write_text(json.dumps({"issuers": issuers, "rules": [rule]}))
    return file


@pytest.fixture
async def shown(settings: Settings, issuer: IssuerServer) -> Shown:
    return Shown((await tokens(settings)).credentials | identities(issuer).credentials)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with looking_into(settings) as storage:
        yield storage


def _listen() -> io.StringIO:
    """What is logged from now on, by whomever."""
    said = io.StringIO()
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(said)
    return said


async def _everything_kept(storage: Storage) -> str:
    return json.dumps(list((await storage.items()).values()), default=str)


async def _break_down(walk: CanaryWalk, settings: Settings, patch: pytest.MonkeyPatch, issuer: IssuerServer) -> None:
    """What a service does when it fails: by its own fault, a dead table, a dead issuer, and a talkative library."""
    credentials = [text for kind, (text, _) in walk.shown.credentials.items() if kind != PASSWORD]
    url = f"https://bucket.example/k?X-Amz-Signature={'ab12' * 16}&X-Amz-Security-Token={SESSION}"
    told = f"failed at {url}, sent {{'authorization': 'Bearer {credentials[0]}'}}, {' '.join(credentials)}"

    async def fail(*_: Any) -> None:
        raise RuntimeError(told) from ValueError(told)

    async def die(*_: Any) -> None:
        raise TableUnavailableError("The table is dead.")

    with patch.context() as broken:
        broken.setattr(ModelService, "get", fail)
        for text in credentials:
            await walk.ask("GET", f"/v1/models/{MODEL}", token=walk.good, headers={"user-agent": text})
    with patch.context() as broken:
        broken.setattr(SqliteTable if settings.backend == "local" else DynamoDbTable, "get", die)
        for text in credentials:
            await walk.ask("GET", f"/v1/models/{MODEL}", token=text)
    logging.getLogger("a.library").debug("GET %s by %s", url, credentials, exc_info=RuntimeError(told))
    issuer.break_down(answers(500))
    unknown = issuer.token(headers={"kid": "another"})
    walk.secrets["an identity of a dead issuer"] = unknown.partition(".")[2]
    await walk.ask("GET", f"/v1/models/{MODEL}", token=unknown)


async def test_no_canary_leaves_a_service_however_it_fails(
    settings: Settings,
    storage: Storage,
    shown: Shown,
    issuer: IssuerServer,
    access_file: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    own = settings.model_copy(update={"log_level": "DEBUG", "access_file": access_file, "failed_logins_per_minute": 60})
    async with secured(own) as service:
        said = _listen()
        walk = CanaryWalk(service.anonymous.http, shown)
        await walk.go()
        await _break_down(walk, settings, monkeypatch, issuer)
        history = await walk.api.events(MODEL)
        metrics = (await walk.http.get("/metrics")).text
    configure(settings.log_level)

    printed = capfd.readouterr()
    sinks = {
        "the log": said.getvalue(),
        "standard output": printed.out,
        "standard error": printed.err,
        "headers and errors": "\n".join(walk.refusals),
        "metrics": metrics,
        "history": json.dumps(history),
        "the table": await _everything_kept(storage),
        "traces": collector.text(),
    }
    assert leaks({**walk.secrets, "a session token": SESSION}, sinks) == []

    assert walk.statuses >= {200, 201, 307, 400, 401, 403, 404, 422, 429, 500, 503}
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert {line["status"] for line in lines if line["event"] == "http_request"} >= walk.statuses - {307}
    assert "[redacted]" in sinks["the log"]
    assert len(history) >= 10
    assert len(collector.spans()) > 300
    assert "modelkeep_authentications_total" in metrics
    assert MODEL in sinks["the table"]


async def test_no_canary_leaves_the_program(
    variables: dict[str, str],
    settings: Settings,
    shown: Shown,
    access_file: Path,
    collector: Collector,
    tmp_path: Path,
) -> None:
    port = free_port()
    own = {
        "MODELKEEP_AUTH": "",
        "MODELKEEP_LOG_LEVEL": "DEBUG",
        "MODELKEEP_ACCESS_FILE": str(access_file),
        "MODELKEEP_FAILED_LOGINS_PER_MINUTE": "60",
        "MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PYTHONASYNCIODEBUG": "1",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        ENDPOINT: os.environ[ENDPOINT],
    }
    command = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port)]
    with serving(command, variables | own, port=port, log=tmp_path / "log") as server:
        server.wait("/readyz")
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
            walk = CanaryWalk(http, shown)
            await walk.go()
            history = await walk.api.events(MODEL)
            metrics = (await http.get("/metrics")).text
        assert server.stop() == 0
    sinks = {
        "what it said": server.said(),
        "headers and errors": "\n".join(walk.refusals),
        "metrics": metrics,
        "history": json.dumps(history),
        "traces": collector.text(),
    }
    assert leaks(walk.secrets, sinks) == []
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.services() == {"modelkeep"}
    assert sum('"event": "http_request"' in line for line in server.said().splitlines()) > 300
    assert len(collector.spans()) > 300


def test_the_search_finds_a_canary_in_every_form() -> None:
    secret = "Zq3vT8mK0pLx7RbN5cYw2HdJ9gFsA6eU"
    for form, text in forms(secret):
        for around in ("{}", 'before "{}" after', "a{}b"):
            assert leaks({"it": secret}, {"there": around.format(text)}), form
    assert leaks({"it": secret}, {"there": "Zq3vT8mK"}) == []
