"""The app on both backends: in this process, and as variables for one over a real socket."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare


def _variables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    if request.param == "local":
        return local_environment(tmp_path_factory.mktemp("data"))
    return aws_environment(request.getfixturevalue("ministack"))


@pytest.fixture(scope="module", params=["local", "ministack"])
def variables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return _variables(request, tmp_path_factory)


@pytest.fixture(scope="session", params=["local", "ministack"])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with environment(_variables(request, tmp_path_factory)) as settings:
        yield settings


@pytest.fixture(scope="session")
async def api(settings: Settings) -> AsyncIterator[Api]:
    await prepare(settings)
    async with serving(settings) as api:
        yield api
