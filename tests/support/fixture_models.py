"""A model with something of everything on it."""

from typing import Any

from modelkeep.domain.uploads import MIB
from tests.support.api import ABANDONED, ARCHIVED, PRODUCTION, STAGING, TRASHED, Api, declare


async def fill(api: Api, model: str) -> None:
    """Give the model a version in each stage, one in the trash, an open and an abandoned upload, and an alias."""
    await api.register(model, description="The first")
    await api.register(model, {"model.pt": b"weights", "config/tokenizer.json": b"{}"}, metrics={"f1": 0.9})
    await api.register(model)
    await api.register(model)
    artifacts = [*declare({"small.bin": b"small"}), {"path": "large.bin", "size": 200 * MIB, "sha256": "9f" * 32}]
    await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts}, status=201)
    await api.begin(model, {"model.pt": b"given up"})
    await api.promote(model, ARCHIVED)
    await api.promote(model, PRODUCTION)
    await api.ask("PUT", f"/{model}/versions/{STAGING}/stage", {"stage": "staging"})
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": PRODUCTION})
    await api.ask("DELETE", f"/{model}/versions/{TRASHED}", status=204)
    await api.ask("DELETE", f"/{model}/versions/{ABANDONED}/upload", status=204)


async def all_of(api: Api, model: str) -> list[Any]:
    """The model, its versions and its history."""
    versions = [version async for version in api.walk(f"/{model}/versions")]
    return [await api.model(model), *versions, *await api.events(model)]
