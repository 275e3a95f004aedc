"""The face as its clients see it, and models that no test changes."""

from uuid import uuid4

import pytest

from tests.support.api import Api
from tests.support.hub import FILES, Book, Hub


@pytest.fixture(scope="session")
def hub(api: Api) -> Hub:
    return Hub(api.http)


@pytest.fixture(scope="session")
async def book(api: Api) -> Book:
    """Version 1 is archived and `old`, version 2 production and `champion`, version 3 in staging."""
    model = f"book-{uuid4().hex[:8]}"
    tags = {"pipeline_tag": "text-classification", "library_name": "transformers"}
    await api.register(model, {"config.json": b"{}"})
    await api.register(model, FILES, description="Retrained\non new data", tags=tags, framework="pytorch")
    await api.register(model, {"config.json": b"{3}"})
    await api.promote(model, 1)
    await api.promote(model, 2)
    await api.ask("PUT", f"/{model}/aliases/old", {"version": 1})
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 2})
    versions = [version async for version in api.walk(f"/{model}/versions")]
    return Book(model, {version["version"]: version for version in versions})


@pytest.fixture(scope="session")
async def unpromoted(api: Api) -> str:
    """A model with versions in staging alone."""
    model = f"unpromoted-{uuid4().hex[:8]}"
    await api.register(model)
    return model
