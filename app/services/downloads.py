"""Where the bytes of a version are: all that a serving container needs."""

from app.domain.access.actions import Action
from app.domain.artifacts import Artifact
from app.domain.downloads import ANY_COMMIT, Download, LocatedArtifact
from app.domain.errors import ArtifactNotFoundError
from app.domain.models import Version
from app.domain.values import PresignedUrl, Ref
from app.services.caller import Caller
from app.services.concurrently import concurrently
from app.services.policy import Policy
from app.services.versions import VersionService
from app.storage.objects import ObjectStore


class DownloadService:
    """Resolve and sign."""

    def __init__(self, versions: VersionService, store: ObjectStore, policy: Policy) -> None:
        self._versions = versions
        self._store = store
        self._policy = policy

    async def locate(
        self, model: str, ref: Ref, caller: Caller, *, known_commits: frozenset[str] = frozenset()
    ) -> Download:
        """Resolve a ref and sign a URL for each artifact, unless the caller knows the commit.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `ArtifactNotFoundError`, `ContentionError`.
        """
        caller.require(Action.MODEL_READ, model)
        head, version = await self._versions.resolve(model, ref)
        if not known_commits.isdisjoint({version.commit, ANY_COMMIT}):
            return Download(version=version, generation=head.generation, artifacts=None)
        located = await concurrently(lambda artifact: self._locate(version, artifact), version.artifacts)
        return Download(version=version, generation=head.generation, artifacts=tuple(located))

    async def locate_artifact(self, model: str, ref: Ref, path: str, caller: Caller) -> PresignedUrl:
        """Sign a URL for one artifact.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `ArtifactNotFoundError`, `ContentionError`.
        """
        caller.require(Action.MODEL_READ, model)
        _, version = await self._versions.resolve(model, ref)
        for artifact in version.artifacts:
            if artifact.path == path:
                return (await self._locate(version, artifact)).url
        raise ArtifactNotFoundError(model, version.number, path)

    async def _locate(self, version: Version, artifact: Artifact) -> LocatedArtifact:
        if artifact.size is None:
            artifact = await self._adopted(version, artifact)
        url = await self._store.presign_get(
            artifact.key,
            version_id=artifact.version_id,
            filename=artifact.path.rpartition("/")[2],
            ttl=self._policy.download_url_ttl,
        )
        return LocatedArtifact(artifact=artifact, url=url)

    async def _adopted(self, version: Version, artifact: Artifact) -> Artifact:
        """What the public recipe wrote is served only if it lies in this store."""
        here = self._store.key_of(version.s3_path) == artifact.key
        stored = await self._store.head(artifact.key) if here else None
        if stored is None:
            raise ArtifactNotFoundError(version.model, version.number, artifact.path)
        return Artifact(path=artifact.path, size=stored.size, sha256=artifact.sha256, key=artifact.key)
