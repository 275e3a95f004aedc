"""Every test of the API runs on both backends: one app for each, and a model name of its own for each test."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, Shelf, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare
from tests.support.fixture_models import all_of, fill

HERE = Path(__file__).parent

SURROUNDINGS = frozenset(
    {
        "test_access",
        "test_access_decisions",
        "test_access_lists",
        "test_access_matrix",
        "test_browser_guard",
        "test_docs",
        "test_exchange",
        "test_headers",
        "test_hostile_requests",
        "test_logging",
        "test_rate_limits",
        "test_metrics",
        "test_problems",
        "test_download_fast_path",
        "test_tokens",
        "test_tracing",
        "test_long_polling",
    }
)
"""These are about what surrounds the services, whatever the backend: a quick run has them on one."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.path.stem in SURROUNDINGS and "ministack" in item.name:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session", params=["local", "ministack"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    if request.param == "local":
        variables = local_environment(tmp_path_factory.mktemp("data"))
    else:
        variables = aws_environment(request.getfixturevalue("ministack"))
    with environment(variables) as settings:
        yield settings


@pytest.fixture(scope="session")
async def api(settings: Settings) -> AsyncIterator[Api]:
    await prepare(settings)
    async with serving(settings) as api:
        yield api


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_").lower())
    return f"{words[:60].strip('-')}-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
async def shelf(api: Api) -> AsyncIterator[Shelf]:
    model = f"shelf-{uuid4().hex[:8]}"
    await fill(api, model)
    before = await all_of(api, model)
    cursor = (await api.ask("GET", f"/{model}/versions?limit=1"))["next_cursor"]
    yield Shelf(model, before[0]["generation"], cursor)
    assert await all_of(api, model) == before


@pytest.fixture
async def alone(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Api, Settings]]:
    """A service with storage of its own, which has not been prepared."""
    name = f"alone-{uuid4().hex[:12]}"
    own = settings.model_copy(update={"data_dir": tmp_path, "table": name, "bucket": name})
    async with serving(own) as api:
        yield api, own
