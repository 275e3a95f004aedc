"""Bytes that an earlier version holds: sent once, stored once, and there for as long as any version names them."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any
from unittest import mock

import pytest

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.models import TrashedVersion
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.versions import Versions
from tests.support.api import Api, serving
from tests.support.backends import another_of, environment, prepare
from tests.support.upkeep import Storage, looking_into

DAY = timedelta(days=1)
ONE = {"config.json": b"{}", "weights/model.pt": b"one"}


def reused(begun: dict[str, Any]) -> dict[str, int]:
    """Which files need not be sent, and from which version each is taken."""
    found = {artifact["path"]: artifact.get("reused_from") for artifact in begun["artifacts"]}
    for artifact in begun["artifacts"]:
        if found[artifact["path"]]:
            assert (artifact["state"], artifact["upload"], artifact["multipart"]) == ("arrived", None, None)
    return {path: number for path, number in found.items() if number}


@pytest.mark.parametrize("multipart", [False, True])
async def test_what_an_earlier_version_holds_is_neither_sent_nor_stored_again(
    api: Api, storage: Storage, multipart: bool
) -> None:
    two = {"config.json": b"{}", "weights/model.pt": b"two", "weights/copy.json": b"{}"}
    await api.register("m", ONE, multipart=multipart)
    begun = await api.begin("m", two)
    assert reused(begun) == {"config.json": 1, "weights/copy.json": 1}
    assert reused(await api.ask("GET", "/m/versions/2/upload")) == reused(begun)
    await api.upload(begun, two)
    await api.complete("m", 2)
    assert await storage.keys() == {object_key("m", 1, path) for path in ONE} | {object_key("m", 2, "weights/model.pt")}
    assert await api.fetch("m", "2") == two
    three = await api.begin("m", two)
    assert reused(three) == dict.fromkeys(two, 2)
    await api.complete("m", 3)
    assert await api.fetch("m", "3") == two
    assert await storage.check() == []


async def test_bytes_live_as_long_as_a_version_names_them(api: Api, storage: Storage) -> None:
    await api.register("m", ONE)
    await api.register("m", ONE | {"weights/model.pt": b"two"})
    await api.ask("DELETE", "/m/versions/1", status=204)
    assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]
    assert await storage.keys() == {object_key("m", 1, "config.json"), object_key("m", 2, "weights/model.pt")}
    assert await api.fetch("m", "2") == ONE | {"weights/model.pt": b"two"}
    assert await storage.sweep(after=80 * DAY) == []
    assert await storage.check() == []
    await api.ask("DELETE", "/m/versions/2", status=204)
    assert await storage.sweep(after=8 * DAY) == ["m 2: purged, 5 bytes"]
    assert await storage.keys() == set()


async def test_an_upload_keeps_what_it_reuses_and_leaves_it_when_it_ends(api: Api, storage: Storage) -> None:
    await api.register("m", ONE)
    begun = await api.begin("m", ONE)
    await api.ask("DELETE", "/m/versions/1", status=204)
    await storage.sweep(after=8 * DAY)
    assert await storage.keys() == set(), "the upload has expired, too"
    await api.register("m", ONE)
    begun = await api.begin("m", ONE)
    assert reused(begun) == dict.fromkeys(ONE, 3)
    await api.ask("DELETE", "/m/versions/4/upload", status=204)
    assert await storage.sweep(after=2 * DAY) == []
    assert await api.fetch("m", "3") == ONE


@pytest.mark.one_backend
async def test_only_live_versions_of_the_model_that_are_latest_production_or_named_lend(api: Api) -> None:
    for content in (b"one", b"two", b"three"):
        await api.register("m", {"a": content})
    await api.promote("m", 1)
    every = {"a": b"three", "b": b"two", "c": b"one"}
    assert reused(await api.begin("m", every)) == {"a": 3, "c": 1}
    assert reused(await api.begin("m", every, reuse_from=[2, 9])) == {"a": 3, "b": 2, "c": 1}
    assert reused(await api.begin("m", every, reuse=False)) == {}
    assert reused(await api.begin("other", every)) == {}
    await api.ask("DELETE", "/m/versions/2", status=204)
    assert reused(await api.begin("m", every, reuse_from=[2])) == {"a": 3, "c": 1}
    refused = await api.ask("POST", "/m/versions", {"artifacts": [], "reuse_from": list(range(1, 10))}, status=422)
    assert "body.reuse_from" in str(refused["errors"])


async def test_bytes_that_are_gone_are_not_passed_on(api: Api, storage: Storage) -> None:
    await api.register("m", ONE)
    await api.begin("m", ONE)
    (lost,) = [version async for version in storage.store.list_versions(object_key("m", 1, "config.json"))]
    await storage.store.delete(lost.key, version_id=lost.version_id)
    assert {each["path"]: each["state"] for each in (await api.ask("GET", "/m/versions/2/upload"))["artifacts"]} == {
        "config.json": "missing",
        "weights/model.pt": "arrived",
    }
    problem = await api.complete("m", 2, status=422)
    assert (problem["code"], problem["path"], problem["reused_from"]) == ("reused_object_changed", "config.json", 1)
    assert await api.register("m", ONE, reuse=False) == 3
    assert await api.fetch("m", "3") == ONE


@pytest.mark.one_backend
async def test_what_moves_while_references_are_read_is_left_for_the_next_sweep(
    api: Api, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that reuses the only bytes of a purged version is completed after the live versions were read."""
    await api.register("m", {"a": b"bytes"})
    await api.begin("m", {"b": b"bytes"})
    await api.ask("DELETE", "/m/versions/1", status=204)
    walk_trash, turns = Versions.walk_trash, count()

    async def complete_meanwhile(versions: Versions, model: str) -> AsyncIterator[TrashedVersion]:
        async for trashed in walk_trash(versions, model):
            yield trashed
        if next(turns) == 1:
            await api.complete("m", 2)

    monkeypatch.setattr(Versions, "walk_trash", complete_meanwhile)
    monkeypatch.setattr(Versions, "walk_uploads", without_expiry(Versions.walk_uploads))
    assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]
    assert await api.fetch("m", "2") == {"b": b"bytes"}
    assert await storage.check() == []


def without_expiry(walk: Callable[..., AsyncIterator[Upload]]) -> Callable[..., AsyncIterator[Upload]]:
    """Uploads that never expire, however much later the sweep is."""

    async def walk_on(*arguments: Any) -> AsyncIterator[Upload]:
        async for upload in walk(*arguments):
            yield replace(upload, expires_at=upload.expires_at + 80 * DAY)

    return walk_on


@pytest.mark.one_backend
@pytest.mark.timeout(3600)
async def test_whatever_is_deleted_restored_and_swept_no_bytes_are_lost(
    variables: dict[str, str], thorough: bool, record_property: Callable[[str, object], None]
) -> None:
    """Walks of registrations from few different files, so that most bytes belong to several versions.

    Each has a registry of its own, since a sweep and a check read all of one.
    """
    walks, steps, verified = (500, 50, 0) if thorough else (3, 30, 0)
    for number in range(walks):
        with environment(another_of(variables, number)) as settings:
            await prepare(settings)
            async with serving(settings) as api, looking_into(settings) as storage:
                walk = Walk(api, storage, random.Random(number))
                await walk.take(steps)
                verified += walk.verified
    record_property("versions read whole", verified)


class Walk:
    """One model, and what must be there of it. `verified` counts the versions that were read whole."""

    def __init__(self, api: Api, storage: Storage, chance: random.Random) -> None:
        self.verified = 0
        self._api = api
        self._storage = storage
        self._model = "m"
        self._chance = chance
        self._live: dict[int, dict[str, bytes]] = {}
        self._trash: dict[int, dict[str, bytes]] = {}
        self._open: dict[int, dict[str, bytes]] = {}

    async def take(self, count: int) -> None:
        weights = {
            self._begin: 4,
            self._complete: 4,
            self._abandon: 1,
            self._delete: 2,
            self._restore: 1,
            self._sweep: 1,
            self._sweep_beside_uploads: 1,
        }
        for step in self._chance.choices([*weights], [*weights.values()], k=count):
            await step()
        await self._verify()

    async def _begin(self) -> None:
        files = {path: self._chance.choice([b"1", b"22", b"333"]) for path in "abc"[: self._chance.randint(1, 3)]}
        named = self._chance.sample(sorted(self._live), min(2, len(self._live)))
        begun = await self._api.begin(self._model, files, reuse_from=named)
        self._open[begun["version"]] = files

    async def _complete(self) -> None:
        if number := self._one_of(self._open):
            files = self._open.pop(number)
            await self._api.upload(await self._api.ask("GET", f"/{self._model}/versions/{number}/upload"), files)
            await self._api.complete(self._model, number)
            self._live[number] = files

    async def _abandon(self) -> None:
        if number := self._one_of(self._open):
            await self._api.ask("DELETE", f"/{self._model}/versions/{number}/upload", status=204)
            del self._open[number]

    async def _delete(self) -> None:
        if number := self._one_of(self._live):
            await self._api.ask("DELETE", f"/{self._model}/versions/{number}", status=204)
            self._trash[number] = self._live.pop(number)

    async def _restore(self) -> None:
        if number := self._one_of(self._trash):
            await self._api.ask("POST", f"/{self._model}/versions/{number}/restore")
            self._live[number] = self._trash.pop(number)

    async def _sweep(self) -> None:
        await self._storage.sweep(after=8 * DAY)
        self._trash, self._open = {}, {}
        await self._verify()

    async def _sweep_beside_uploads(self) -> None:
        """Purge what is in the trash, while uploads are under way that may reuse its bytes."""
        with mock.patch.object(Versions, "walk_uploads", without_expiry(Versions.walk_uploads)):
            await self._storage.sweep(after=8 * DAY)
        self._trash = {}
        await self._verify()

    async def _verify(self) -> None:
        for number, files in self._live.items():
            assert await self._api.fetch(self._model, str(number)) == files
        self.verified += len(self._live)
        assert await self._storage.check() == []

    def _one_of(self, numbers: dict[int, Any]) -> int | None:
        return self._chance.choice(sorted(numbers)) if numbers else None
