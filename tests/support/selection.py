"""A plugin: what a quick run leaves out, for `--thorough` to run.

Beside what is marked `thorough`: of a test that runs on several backends, all on AWS's protocols but its first
parameters. With `one_backend` those as well, for what is above the drivers; with `every_backend` nothing, for what
holds the drivers to be equal.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import settings

BACKENDS: Final = frozenset({"settings", "variables", "destination", "service", "store", "table", "url", "walked"})
"""Fixtures whose parameter names a backend."""

LOCAL: Final = frozenset({"local", "dev"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="the long versions too: hours instead of minutes")


def pytest_configure() -> None:
    """Give property tests no deadline: how long an example takes says more of the machine than of the code."""
    settings.register_profile("without deadline", deadline=None)
    settings.load_profile("without deadline")


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to take all the time it needs."""
    return bool(request.config.getoption("--thorough"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as deselected."""
    if config.getoption("--thorough"):
        return
    quick = [item for item in items if not item.get_closest_marker("thorough")]
    left_out = set(items) - set(quick) | _told_on_another_backend(quick)
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


def _told_on_another_backend(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    variants: dict[str, list[tuple[pytest.Item, str]]] = defaultdict(list)
    for item in items:
        backend = _backend_of(item)
        if backend and not item.get_closest_marker("every_backend"):
            variants[item.nodeid.partition("[")[0]].append((item, backend))
    left_out = set()
    for each in variants.values():
        seen: set[str] = set()
        has_local = any(backend in LOCAL for _, backend in each)
        for item, backend in each:
            if has_local and backend not in LOCAL and (backend in seen or item.get_closest_marker("one_backend")):
                left_out.add(item)
            seen.add(backend)
    return left_out


def _backend_of(item: pytest.Item) -> str | None:
    parameters: dict[str, object] = item.callspec.params if hasattr(item, "callspec") else {}
    return next((str(value) for name, value in parameters.items() if name in BACKENDS), None)
