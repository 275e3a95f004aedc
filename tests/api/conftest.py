"""Every test of the API runs on both backends: one app for each, and a model name of its own for each test."""

import re
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from app.settings import Settings
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare


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
