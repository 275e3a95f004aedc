"""URLs of a version are signed once and reused while half their life is left."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelkeep.bootstrap import limits_of, open_storage
from modelkeep.repositories.version_items import version_to_item
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading import presigned_urls
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.settings import Settings
from modelkeep.storage.table import Present, Put
from tests.support.api import Api, serving, signed_until, when
from tests.support.builders import operation

FILES = {"a": b"1", "b": b"2"}


class Ahead:
    """The time, some seconds ahead, in place of `time`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        return time.time() + self.seconds


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    ahead = Ahead()
    monkeypatch.setattr(presigned_urls, "time", ahead)
    return ahead


@pytest.fixture
async def own(api: Api, settings: Settings) -> AsyncIterator[Api]:
    """A service that has signed nothing yet, over shared storage."""
    async with serving(settings) as own:
        yield own


async def urls(api: Api, model: str, ref: str) -> list[str]:
    return [artifact["url"] for artifact in (await api.download(model, ref))["artifacts"]]


async def next_second() -> None:
    """Wait until a new signature cannot equal the last one by chance."""
    await asyncio.sleep(1.05 - time.time() % 1)


async def test_urls_are_shared_for_half_their_life(own: Api, settings: Settings, model: str, ahead: Ahead) -> None:
    await own.register(model, FILES)
    first = await urls(own, model, "1")
    half = settings.download_url_ttl_seconds / 2
    await next_second()
    for seconds in (0, 60, half - 5):
        ahead.seconds = seconds
        assert await urls(own, model, "1") == first
    ahead.seconds = half + 1
    second = await urls(own, model, "1")
    assert not {*first} & {*second}


async def test_their_expiry_is_true(own: Api, settings: Settings, model: str, ahead: Ahead) -> None:
    await own.register(model, FILES)
    life = timedelta(seconds=settings.download_url_ttl_seconds)
    began = datetime.now(UTC).replace(microsecond=0)
    first = await own.download(model, "1")
    ended = datetime.now(UTC)
    ahead.seconds = settings.download_url_ttl_seconds / 2 - 5
    for found in (first, await own.download(model, "1")):
        for artifact in found["artifacts"]:
            until = when(artifact["expires_at"])
            assert began + life <= until <= ended + life
            assert until <= signed_until(artifact["url"]) <= until + timedelta(seconds=1)


async def test_each_version_has_urls_of_its_own(own: Api, model: str) -> None:
    for content in (b"1", b"2"):
        await own.register(model, {"model.pt": content})
    await own.promote(model, 1)
    (first,) = await urls(own, model, "production")
    await own.promote(model, 2)
    (second,) = await urls(own, model, "production")
    assert (await own.http.get(first)).content == b"1"
    assert (await own.http.get(second)).content == b"2"
    assert await urls(own, model, "1") == [first]
    assert await urls(own, model, "latest") == [second]


async def test_the_version_beside_them_is_current(own: Api, model: str) -> None:
    """The rendered answer is shared too, but not with another generation or stage."""
    for _ in range(2):
        await own.register(model, FILES)
    seen = []
    for change in (None, ("PUT", "/versions/1/stage", {"stage": "production"}), ("PATCH", "", {"description": "x"})):
        if change:
            await own.ask(change[0], f"/{model}{change[1]}", change[2])
        found = await own.download(model, "1")
        assert found["generation"] == await own.generation(model)
        seen.append((found["stage"], tuple(artifact["url"] for artifact in found["artifacts"])))
    await own.promote(model, 2)
    seen.append(((await own.download(model, "1"))["stage"], seen[0][1]))
    assert [stage for stage, _ in seen] == ["staging", "production", "production", "archived"]
    assert len({urls for _, urls in seen}) == 1


async def test_an_unverified_adopted_version_is_signed_each_time(own: Api, settings: Settings, model: str) -> None:
    """Its size is the object's present one, and nothing is left in the cache when it is verified."""
    await own.register(model, FILES)
    async with open_storage(settings) as (table, store):
        version = await Versions(table).find(model, 1)
        assert version
        known, unknown = version.artifacts
        adopted = replace(
            version, artifacts=(known, replace(unknown, size=None, sha256=None)), s3_path=store.uri(unknown.key)
        )
        await table.transact([Put(version_to_item(adopted), Present())], request_token=operation().id)
        first = await urls(own, model, "1")
        await next_second()
        assert not {*first} & {*await urls(own, model, "1")}
        await table.transact([Put(version_to_item(version), Present())], request_token=operation().id)
    found: list[Any] = (await own.download(model, "1"))["artifacts"]
    assert [artifact["size"] for artifact in found] == [1, 1]
    assert all(artifact["sha256"] for artifact in found)


async def test_memory_is_bounded(settings: Settings, api: Api, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presigned_urls, "CACHE_BYTES", 8_000)
    for _ in range(6):
        await api.register(model, FILES)
    async with open_storage(settings) as (table, store):
        shared = PresignedUrlCache(store, limits_of(settings))
        for number in range(1, 7):
            version = await Versions(table).find(model, number)
            assert version
            signed = await shared.for_version(version)
            weight = 512 + sum(1024 + 2 * len(each.url.url) for each in signed.artifacts)
            assert signed.weight == weight
            assert shared._cache.currsize <= 8_000
            assert await shared.for_version(version) is signed
        assert 1 <= len(shared._cache) < 6
