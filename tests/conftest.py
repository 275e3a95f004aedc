"""What every suite has: plugins, the options of a run, and a collector of traces."""

import os
import sys
from collections.abc import Iterator

import pytest

from modelkeep.telemetry.tracing import ENDPOINT
from tests.support import servers
from tests.support.collectors import Collector, collecting


def pytest_addoption(parser: pytest.Parser) -> None:
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


pytest_plugins = ["tests.support.caches", "tests.support.selection", "tests.support.server_pool"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests counted and recorded as properties."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {figure}")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Takes in spans, where the environment says that traces go."""
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        yield collector
