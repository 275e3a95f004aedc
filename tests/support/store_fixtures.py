"""Object stores for the contract tests, one of each for the session; every test has keys of its own.

A plugin: a test module asks for it by `pytest_plugins = ["tests.support.store_fixtures"]`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.aws.s3_setup import set_up_bucket
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.objects import ObjectStore
from tests.support.servers import AwsServer, free_port
from tests.support.stores import local_app, serving

BUCKET = "registry-contract"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data folder")


@pytest.fixture(scope="session")
def local_url(data: Path) -> Iterator[str]:
    with serving(local_app(data), free_port()) as url:
        yield url


@pytest.fixture(scope="session")
async def local(data: Path, local_url: str) -> FileStore:
    return await FileStore.open(data, public_url=local_url)


@pytest.fixture(scope="session")
async def s3(ministack: AwsServer) -> AsyncIterator[S3Store]:
    opening = S3Store.open(ministack.session(), BUCKET, public_url=None, endpoint_url=ministack.endpoint)
    async with opening as store:
        assert [sentence async for sentence in set_up_bucket(store._client, BUCKET, ministack.region)]
        yield store


@pytest.fixture(params=["local", "ministack"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    store: ObjectStore = request.getfixturevalue("local" if request.param == "local" else "s3")
    return store


@pytest.fixture
def key() -> str:
    return f"models/m-{uuid4().hex}/v1/weights/model v1+final=@.pt"


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client
