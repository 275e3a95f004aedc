"""Servers that stand in for AWS, one of each for the whole session; and AWS itself, where the environment names it."""

import os
import ssl
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest import mock

import httpx
import pytest
from botocore.loaders import JSONFileLoader

from modelkeep.telemetry.tracing import ENDPOINT
from tests.support import servers
from tests.support.collectors import Collector, collecting
from tests.support.servers import AwsServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="the long versions too: hours instead of minutes")
    parser.addoption("--seed", type=int, help="what random histories begin with, to repeat one that failed")


def pytest_configure() -> None:
    """Let no process of a run compile again what another has, even where nothing may be written beside the sources.

    A service that starts has a second of that, and these tests start some hundred.
    """
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(servers.CACHE / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores, since much of the time passes in waiting for processes and for limits."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as deselected, what is marked `thorough`, unless it was asked for."""
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if item.get_closest_marker("thorough")]
    items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def service_models_are_read_once() -> Iterator[None]:
    """botocore reads megabytes of JSON for each session, and these tests open some hundred."""
    read = JSONFileLoader.load_file
    models: dict[str, Any] = {}

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if path not in models:
            models[path] = read(loader, path)
        return models[path]

    with mock.patch.object(JSONFileLoader, "load_file", load_file):
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities_are_read_once() -> Iterator[None]:
    """OpenSSL takes 25 ms for the certificates that everybody trusts, and httpx wants them for each client."""
    make = httpx.create_ssl_context
    shared = cache(make)

    def create(*, verify: ssl.SSLContext | bool, cert: Any, trust_env: bool) -> ssl.SSLContext:
        is_plain = verify is True and cert is None and not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()
        return shared() if is_plain else make(verify=verify, cert=cert, trust_env=trust_env)

    with mock.patch("httpx._transports.default.create_ssl_context", create):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests counted and recorded as properties."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {figure}")


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to take all the time it needs."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    """S3 and DynamoDB: a ministack of this session, or what AWS_ENDPOINT_URL and its like point at."""
    if (given := servers.from_environment()) is not None:
        yield given
        return
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    """DynamoDB by Amazon's own engine; skipped where Java or npm is missing."""
    if missing := servers.why_no_dynamodb_local():
        pytest.skip(missing)
    with servers.dynamodb_local(tmp_path_factory.mktemp("dynamodb-local")) as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Takes in spans, where the environment says that traces go."""
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        yield collector
