"""URLs that are reused live long enough, and read exactly the bytes that were confirmed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from modelkeep.domain.values import PresignedUrl
from modelkeep.services.reading import presigned_urls
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.storage.objects import ObjectStore
from tests.support import builders
from tests.support.read_path import HOUR, LIMITS


class Clock:
    """Time that passes when a test says so, in whole seconds."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0).timestamp()


class SigningStore:
    """A store that signs, and records for which version of an object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.signed: list[str | None] = []

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        self.signed.append(version_id)
        expires_at = datetime.fromtimestamp(self._clock.now, UTC) + ttl
        return PresignedUrl(method="GET", url=f"http://store/{key}", headers={}, expires_at=expires_at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(presigned_urls, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def store(clock: Clock) -> SigningStore:
    return SigningStore(clock)


@pytest.fixture
def urls(store: SigningStore) -> PresignedUrlCache:
    return PresignedUrlCache(cast("ObjectStore", store), LIMITS)


async def test_a_url_has_at_least_half_its_life_left(
    urls: PresignedUrlCache, store: SigningStore, clock: Clock
) -> None:
    version = builders.version()
    for _ in range(0, 2 * 3600, 60):
        (signed,) = (await urls.for_version(version)).artifacts
        assert signed.url.expires_at.timestamp() - clock.now >= HOUR.total_seconds() / 2
        clock.now += 60
    assert len(store.signed) == 4


async def test_a_url_is_for_the_version_of_the_object_that_was_confirmed(
    urls: PresignedUrlCache, store: SigningStore
) -> None:
    (artifact,) = builders.version().artifacts
    pinned = builders.version(artifacts=(replace(artifact, version_id="v-17"),))
    await urls.for_version(pinned)
    await urls.for_artifact(pinned, pinned.artifacts[0])
    assert store.signed == ["v-17", "v-17"]
