"""Schemathesis holds a served registry to its own OpenAPI document: examples, edges, noise, and sequences."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.access import token_for
from tests.support.api import Api
from tests.support.backends import environment, local_environment, prepare
from tests.support.fixture_models import fill
from tests.support.programs import EXECUTABLE, REPOSITORY, serving
from tests.support.servers import free_port

SUPPORT: Final = REPOSITORY / "tests" / "support"
SHELVES: Final = 8
PHASES: Final = {"examples", "coverage", "fuzzing", "stateful"}
CHECKS: Final = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "fitting_requests_are_refused_for_nothing_else",
}
NEVER_DONE: Final = {"POST /v1/auth/token"}
"""A registry token is not exchanged for another."""

SELDOM_DONE: Final = {"POST /v1/models/{model}/versions/{version}/restore"}
"""Few cases may all miss the one version in the trash."""


@dataclass(frozen=True)
class Target:
    """A server, and a token that may do everything."""

    url: str
    token: str


@dataclass
class Report:
    """What Schemathesis says it did."""

    cases: Counter[str] = field(default_factory=Counter)
    in_phase: Counter[tuple[str, str]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    stop: str = ""

    @classmethod
    def read(cls, path: Path) -> "Report":
        report = cls()
        for line in path.read_text().splitlines():
            ((kind, event),) = json.loads(line).items()
            if kind == "ScenarioFinished":
                report.note(event)
            elif kind == "EngineFinished":
                report.stop = event["stop_reason"]
            elif kind in {"NonFatalError", "FatalError"}:
                report.failures.append(json.dumps(event))
        return report

    def note(self, scenario: Any) -> None:
        recorder = scenario["recorder"]
        if scenario["status"] == "skip" and scenario["phase"] != "stateful":
            self.left_out[scenario["skip_reason"]] += 1
        for name, case in recorder.get("cases", {}).items():
            operation = f"{case['value']['method']} {case['value']['path']}"
            self.cases[scenario["phase"]] += 1
            self.in_phase[scenario["phase"], operation] += 1
            for check in recorder.get("checks", {}).get(name, ()):
                self.checks[check["name"]] += 1
                if check["status"] != "success":
                    self.failures.append(f"{operation}: {check['name']}: {json.dumps(check['failure_info'])}")
            response = recorder.get("interactions", {}).get(name, {}).get("response")
            if response and response["status_code"] < 400:
                self.done[operation] += 1


async def _fill(target: Target) -> list[str]:
    """Models with something of everything, and tokens, whose ids are returned.

    An upload of each model, the seventh version, has arrived and waits.
    """
    async with httpx.AsyncClient(base_url=target.url, trust_env=False, timeout=30) as http:
        api = Api(http, token=target.token)
        for number in range(SHELVES):
            model, files = f"shelf-{number}", {"model.pt": b"seventh"}
            await fill(api, model)
            await api.upload(await api.begin(model, files), files)
        return [await _reader(api) for _ in range(SHELVES)]


async def _reader(api: Api) -> str:
    """Make a token; its id."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    wanted = {"principal": "reader", "allow": ["reader"], "models": ["*"], "expires_at": tomorrow}
    made = await api.request("POST", "/tokens", json=wanted)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def _token(variables: dict[str, str]) -> str:
    with environment(variables) as settings:
        await prepare(settings)
        return await token_for(settings, allow=["*"], principal="fuzzing")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """The program itself, which asks for credentials, over prepared models."""
    port = free_port()
    limits = {"MODELKEEP_REQUESTS_PER_10_SECONDS": "1000000000", "MODELKEEP_FAILED_LOGINS_PER_MINUTE": "1000000000"}
    url = {"MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    variables = local_environment(tmp_path / "data") | limits | url
    del variables["MODELKEEP_AUTH"]
    token = asyncio.run(_token(variables))
    with serving([EXECUTABLE, "serve", "--port", str(port)], variables, port=port, log=tmp_path / "log") as server:
        server.wait()
        target = Target(server.url, token)
        tokens = asyncio.run(_fill(target))
        shutil.copy(SUPPORT / "fuzzing.toml", tmp_path)
        (tmp_path / "tokens.txt").write_text("\n".join(f'"{token}"' for token in tokens))
        yield target


def fuzz(target: Target, folder: Path, *options: str) -> Report:
    """Run Schemathesis over the whole document; everything that it writes is in this folder.

    But HEAD, whose answers have nothing in them: `tests/api/test_head.py` holds them against those of GET.
    """
    variables = {
        "MODELKEEP_TOKEN": target.token,
        "FUZZING_HOOKS": str(SUPPORT / "fuzzing.py"),
        "NO_COLOR": "1",
        "NO_PROXY": "*",
    }
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "fuzzing.toml"]
    command += [
        "run",
        f"{target.url}/openapi.json",
        "--exclude-method",
        "HEAD",
        "--checks",
        "all",
        "--report-ndjson-path",
        "report.ndjson",
        *options,
    ]
    said = subprocess.run(command, cwd=folder, env=os.environ | variables, check=False, capture_output=True, text=True)
    written = folder / "report.ndjson"
    report = Report.read(written) if written.exists() else Report()
    assert said.returncode == 0, "\n".join([said.stdout[-5000:], said.stderr[-2000:], *report.failures[:20]])
    return report


def undone(report: Report, document: Any, *, at_least: int) -> set[str]:
    """Nothing failed and nothing was left out; the operations that no request has succeeded at."""
    paths = document["paths"].items()
    operations = {f"{method.upper()} {path}" for path, methods in paths for method in methods if method != "head"}
    assert report.failures == []
    assert report.stop == "completed"
    assert report.cases.keys() == PHASES
    assert report.cases.total() >= at_least
    for phase in ("coverage", "fuzzing"):
        assert {operation for each, operation in report.in_phase if each == phase} >= operations
    assert set(report.left_out) <= {"No examples in schema"}
    assert report.checks.keys() >= CHECKS
    return operations - report.done.keys()


def served_document(target: Target) -> Any:
    return httpx.get(f"{target.url}/openapi.json", trust_env=False).json()


def test_the_service_conforms_to_its_document(target: Target, tmp_path: Path) -> None:
    report = fuzz(target, tmp_path, "--max-examples", "3", "--seed", "1", "--no-shrink")
    assert undone(report, served_document(target), at_least=500) <= NEVER_DONE | SELDOM_DONE


@pytest.mark.thorough
@pytest.mark.timeout(3600)
def test_the_service_conforms_to_its_document_in_thousands_of_cases(target: Target, tmp_path: Path) -> None:
    report = fuzz(target, tmp_path, "--max-examples", "150")
    print(report.cases.total(), dict(report.cases), dict(report.done))  # noqa: T201 -- what was reached
    assert undone(report, served_document(target), at_least=5000) == NEVER_DONE
