"""Every test of the API runs on both backends: one app for each, and a model name of its own for each test."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.domain.uploads import MIB
from app.settings import Settings
from tests.support.api import ABANDONED, ARCHIVED, PRODUCTION, TRASHED, Api, Shelf, declare, serving
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


@pytest.fixture(scope="session")
async def shelf(api: Api) -> AsyncIterator[Shelf]:
    model = f"shelf-{uuid4().hex[:8]}"
    await api.register(model, description="The first")
    await api.register(model, {"model.pt": b"weights", "config/tokenizer.json": b"{}"}, metrics={"f1": 0.9})
    await api.register(model)
    await api.register(model)
    artifacts = [*declare({"small.bin": b"small"}), {"path": "large.bin", "size": 200 * MIB, "sha256": "9f" * 32}]
    await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts}, status=201)
    await api.begin(model, {"model.pt": b"given up"})
    await api.promote(model, ARCHIVED)
    await api.promote(model, PRODUCTION)
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": PRODUCTION})
    await api.ask("DELETE", f"/{model}/versions/{TRASHED}", status=204)
    await api.ask("DELETE", f"/{model}/versions/{ABANDONED}/upload", status=204)
    before = await _all_of(api, model)
    cursor = (await api.ask("GET", f"/{model}/versions?limit=1"))["next_cursor"]
    yield Shelf(model, before[0]["generation"], cursor)
    assert await _all_of(api, model) == before


async def _all_of(api: Api, model: str) -> list[Any]:
    versions = [version async for version in api.walk(f"/{model}/versions")]
    return [await api.model(model), *versions, *await api.events(model)]


@pytest.fixture
async def alone(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Api, Settings]]:
    """A service with storage of its own, which nobody has prepared."""
    name = f"alone-{uuid4().hex[:12]}"
    own = settings.model_copy(update={"data_dir": tmp_path, "table": name, "bucket": name})
    async with serving(own) as api:
        yield api, own
