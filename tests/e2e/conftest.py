"""What the operator's tests have in common: an empty registry of each backend for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare_now
from tests.support.upkeep import Storage, looking_into


@pytest.fixture(params=["local", "ministack"])
def variables(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a registry that nothing has been done to, on each backend."""
    if request.param == "local":
        return local_environment(tmp_path / "data")
    return aws_environment(request.getfixturevalue("ministack"))


@pytest.fixture
def settings(variables: dict[str, str]) -> Iterator[Settings]:
    """The same, initialised; this process has its environment."""
    with environment(variables) as settings:
        prepare_now(settings)
        yield settings


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The service over it."""
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    """What lies below it."""
    async with looking_into(settings) as storage:
        yield storage
