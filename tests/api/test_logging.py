"""What is logged holds no secret: no signature, no query of a storage URL, no Authorization value."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

import modelkeep
from modelkeep.services.models import ModelService
from modelkeep.settings import Settings
from modelkeep.telemetry.logging import configure
from tests.support.access import token_for
from tests.support.api import BASE, Api, serving
from tests.support.artifact_names import NAMES

PART = 5 * 1024 * 1024
SOURCE: Final = Path(modelkeep.__file__).parent


@pytest.fixture
async def talkative(api: Api, settings: Settings) -> AsyncIterator[tuple[Api, io.StringIO]]:
    """A service over the same storage that logs all it has to say, and what it said; it is asked with a token."""
    said = io.StringIO()
    token = await token_for(settings, allow=["admin"])
    async with serving(settings.model_copy(update={"log_level": "DEBUG"})) as loud:
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(said)
        yield Api(loud.http, token=token), said
    for secret in (token, *token.split("_")[2:]):
        assert secret not in said.getvalue()
    configure(settings.log_level)


def secrets_in(answers: list[Any]) -> set[str]:
    """Every query of a storage URL, and every value in it that is long enough to be told apart."""
    text = json.dumps(answers)
    urls = {part.partition('"')[0] for part in text.split('"url": "')[1:]}
    assert urls
    queries = {urlsplit(url).query for url in urls}
    values = {value for query in queries for _, value in parse_qsl(query) if len(value) >= 20}
    assert values
    return queries | values


async def test_the_path_of_an_artifact_is_one_value_of_one_line(talkative: tuple[Api, io.StringIO], model: str) -> None:
    api, said = talkative
    await api.register(model)
    for name in NAMES:
        await api.problem("GET", f"/{model}/versions/1/artifacts/{quote(name)}", status=404, code="artifact_not_found")
    requests = [json.loads(line) for line in said.getvalue().splitlines() if "/artifacts/" in line]
    assert [request["path"].partition("/artifacts/")[2] for request in requests] == list(NAMES)


async def test_no_line_of_a_whole_journey_holds_a_secret(
    talkative: tuple[Api, io.StringIO], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, said = talkative
    monkeypatch.setattr("modelkeep.domain.uploads.MIN_PART_SIZE", PART)
    files = {"model.pt": b"weights", "weights.bin": b"x" * (PART + 1)}
    answers = [await api.begin(model, files, multipart=True, key="run-1")]
    await api.upload(answers[0], files)
    answers.append(await api.begin(model, {"model.pt": b"single"}, key="run-2"))
    await api.upload(answers[1], {"model.pt": b"single"})
    for number in (1, 2):
        answers.append(await api.ask("GET", f"/{model}/versions/{number}/upload"))
        await api.complete(model, number)
        await api.promote(model, number)
        answers.append(await api.download(model))
        assert await api.fetch(model)
    redirect = await api.request("GET", f"/models/{model}/versions/2/artifacts/model.pt")
    answers.append({"url": redirect.headers["location"]})
    altered = f"{redirect.headers['location']}0"
    await api.http.get(altered)
    await api.ask("POST", f"/{model}/rollback", {"expected_production": 2})
    await api.problem("GET", f"/{model}/versions/9", status=404, code="version_not_found")
    await api.problem("GET", f"/{model}/versions?cursor=secret-cursor", status=400, code="invalid_cursor")

    logged = said.getvalue()
    for secret in {*secrets_in(answers), "secret-cursor", "ignature="}:
        assert secret not in logged


async def test_an_unexpected_failure_is_logged_with_its_place_and_without_its_variables(
    talkative: tuple[Api, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, said = talkative

    async def fail(*_: Any) -> None:
        password = "s3cret-password"  # a local variable of the failing frame
        raise RuntimeError(f"broken after {len(password)}")

    monkeypatch.setattr(ModelService, "get", fail)
    await api.request("GET", "/models/m", headers={"x-request-id": "unlucky"})
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    failure = next(line for line in lines if line["event"] == "unhandled_exception")
    assert (failure["request_id"], failure["level"]) == ("unlucky", "error")
    assert "broken after 15" in json.dumps(failure)
    assert "test_logging.py" in json.dumps(failure)
    for secret in ("s3cret", "authorization"):
        assert secret not in said.getvalue()


async def test_each_request_is_one_line(talkative: tuple[Api, io.StringIO], model: str) -> None:
    api, said = talkative
    await api.request("GET", f"/models/{model}?x=y", headers={"x-request-id": "one"})
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "http_request"]
    assert line["duration_ms"] > 0
    assert line["time"].endswith("Z")
    assert line["rule"].startswith("token:")
    measured = {"event", "duration_ms", "time", "logger", "rule"}
    assert {name: value for name, value in line.items() if name not in measured} == {
        "method": "GET",
        "path": f"/v1/models/{model}",
        "status": 404,
        "code": "model_not_found",
        "request_id": "one",
        "level": "info",
        "principal": "ci",
        "action": "model.read",
        "model": model,
        "version": None,
        "decision": "allowed",
    }


async def test_other_libraries_log_nothing(talkative: tuple[Api, io.StringIO], model: str) -> None:
    api, said = talkative
    await api.register(model)
    await api.fetch(model, "1")
    speakers = {json.loads(line)["logger"] for line in said.getvalue().splitlines()}
    assert speakers
    assert all(name.startswith("modelkeep.") for name in speakers), speakers


class Broken(io.StringIO):
    """Where lines go is gone."""

    def write(self, line: str) -> int:
        raise BrokenPipeError


async def test_a_line_that_cannot_be_written_fails_no_request(talkative: tuple[Api, io.StringIO], model: str) -> None:
    api, said = talkative
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    await api.register(model)
    handler.setStream(Broken())
    transport = api.http._transport_for_url(httpx.URL(BASE))
    assert isinstance(transport, httpx.ASGITransport)
    transport.raise_app_exceptions = True
    answer = await api.request("GET", f"/models/{model}/versions/1/download")
    assert answer.status_code == 200
    handler.setStream(said)


def test_a_logger_in_use_follows_what_is_configured_later() -> None:
    configure("WARNING")
    logger = structlog.get_logger("modelkeep.in_use")
    logger.warning("before")
    configure("WARNING")
    with capture_logs() as lines:
        logger.warning("after")
    assert [line["event"] for line in lines] == ["after"]


def test_events_are_named_in_one_form() -> None:
    """Words in snake_case: what varies is in the fields of a line, so that a query finds every line of an event."""
    calls = re.compile(r"_log\.(?:debug|info|warning|error|exception)\(\s*(?P<event>[^,)]+)")
    events = [found["event"] for path in sorted(SOURCE.rglob("*.py")) for found in calls.finditer(path.read_text())]
    assert len(events) >= 8
    assert [event for event in events if not re.fullmatch(r'"[a-z]+(?:_[a-z]+)+"', event)] == []
