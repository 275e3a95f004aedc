"""Presigned download URLs, signed once per version and shared by callers while they live long enough."""

import time
from typing import Final

from cachetools import LRUCache

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.downloads import SignedArtifact, SignedArtifacts
from modelkeep.domain.errors import ArtifactNotFoundError
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.models import Version
from modelkeep.domain.values import PresignedUrl
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore

CACHE_BYTES: Final = 32 * 1024 * 1024
"""Approximate memory for URLs that were signed before."""


class PresignedUrlCache:
    """Signs GET URLs of artifacts; those of a whole version are reused for the first half of their life."""

    def __init__(self, store: ObjectStore, limits: ServiceLimits) -> None:
        self._store = store
        self._limits = limits
        self._cache: LRUCache[tuple[str, int], tuple[float, SignedArtifacts]] = LRUCache(
            CACHE_BYTES, lambda entry: entry[1].weight
        )

    async def for_version(self, version: Version) -> SignedArtifacts:
        """A URL for each artifact; not cached if the version is unverified.

        Raises `ArtifactNotFoundError`, `UnavailableError`.
        """
        key = (version.model, version.number)
        fresh_until, signed = self._cache.get(key, (0.0, None))
        if signed and time.time() < fresh_until:
            return signed
        signed_at = time.time()
        if not version.is_verified:
            return SignedArtifacts(
                await gather_limited(lambda artifact: self.for_artifact(version, artifact), version.artifacts)
            )
        signed = SignedArtifacts([await self.for_artifact(version, artifact) for artifact in version.artifacts])
        expires_at = min((each.url.expires_at.timestamp() for each in signed.artifacts), default=signed_at)
        self._cache[key] = ((signed_at + expires_at) / 2, signed)
        return signed

    async def for_artifact(self, version: Version, artifact: Artifact) -> SignedArtifact:
        """A URL for one artifact, never cached. Raises `ArtifactNotFoundError`, `UnavailableError`."""
        if artifact.size is None:
            artifact = await self._adopted(version, artifact)
        return SignedArtifact(artifact=artifact, url=await self._sign(artifact))

    async def _sign(self, artifact: Artifact) -> PresignedUrl:
        return await self._store.presign_get(
            artifact.key,
            version_id=artifact.version_id,
            filename=artifact.path.rpartition("/")[2],
            ttl=self._limits.download_url_ttl,
        )

    async def _adopted(self, version: Version, artifact: Artifact) -> Artifact:
        """An artifact that the public recipe wrote, with its present size; it is served only from this store."""
        is_here = self._store.key_of(version.s3_path) == artifact.key
        stored = await self._store.stat(artifact.key) if is_here else None
        if stored is None:
            raise ArtifactNotFoundError(version.model, version.number, artifact.path)
        return Artifact(path=artifact.path, size=stored.size, sha256=artifact.sha256, key=artifact.key)
