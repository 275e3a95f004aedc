"""URLs of whole versions, signed once for many."""

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
"""About so much memory for URLs that were signed before."""


class PresignedUrlCache:
    """Signs URLs that read artifacts; those of a whole version are shared while half their life is left or more."""

    def __init__(self, store: ObjectStore, limits: ServiceLimits) -> None:
        self._store = store
        self._limits = limits
        self._kept: LRUCache[tuple[str, int], tuple[float, SignedArtifacts]] = LRUCache(
            CACHE_BYTES, lambda kept: kept[1].weight
        )

    async def of(self, version: Version) -> SignedArtifacts:
        """A URL for each artifact. Raises `ArtifactNotFoundError`, `UnavailableError`."""
        key = (version.model, version.number)
        good_until, located = self._kept.get(key, (0.0, None))
        if located and time.time() < good_until:
            return located
        signed_at = time.time()
        if not version.is_verified:
            return SignedArtifacts(
                await gather_limited(lambda artifact: self.locate(version, artifact), version.artifacts)
            )
        located = SignedArtifacts([await self.locate(version, artifact) for artifact in version.artifacts])
        expires_at = min((each.url.expires_at.timestamp() for each in located.artifacts), default=signed_at)
        self._kept[key] = ((signed_at + expires_at) / 2, located)
        return located

    async def locate(self, version: Version, artifact: Artifact) -> SignedArtifact:
        """A URL for one artifact. Raises `ArtifactNotFoundError`, `UnavailableError`."""
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
        """What the public recipe wrote is served only if it lies in this store."""
        here = self._store.key_of(version.s3_path) == artifact.key
        stored = await self._store.stat(artifact.key) if here else None
        if stored is None:
            raise ArtifactNotFoundError(version.model, version.number, artifact.path)
        return Artifact(path=artifact.path, size=stored.size, sha256=artifact.sha256, key=artifact.key)
