"""Where the bytes of a version are: all that a serving container needs."""

from collections.abc import Container

from modelkeep.domain.access.actions import Action
from modelkeep.domain.downloads import Download, Redirect
from modelkeep.domain.values import Ref
from modelkeep.services.access.caller import Caller
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.services.reading.resolver import Resolver


class DownloadService:
    """Resolve and sign."""

    def __init__(self, resolver: Resolver, urls: PresignedUrlCache) -> None:
        self._resolver = resolver
        self._urls = urls

    async def locate(
        self, model: str, ref: Ref, caller: Caller, *, known_commits: Container[str] = (), wait: float = 0
    ) -> Download:
        """Resolve a ref and give a URL for each artifact, unless the caller knows the commit.

        If it does, another version to answer to the ref is waited for, `wait` seconds at most. While the table cannot
        be read, the answer may be one from memory, and says so. Raises `ModelNotFoundError`, `VersionNotFoundError`,
        `ArtifactNotFoundError`, `ContentionError`, `UnavailableError`.
        """
        caller.require(Action.MODEL_READ, model)
        resolved = await self._resolver.locate(model, ref)
        if wait and resolved.version.commit in known_commits:
            resolved = await self._resolver.another(model, ref, resolved, known=known_commits, seconds=wait)
        version = resolved.version
        located = None if version.commit in known_commits else await self._urls.of(version)
        return Download(
            version=version,
            generation=resolved.generation,
            located=located,
            stale_seconds=resolved.stale_seconds,
        )

    async def locate_artifact(self, model: str, ref: Ref, path: str, caller: Caller) -> Redirect:
        """Give a URL for one artifact. Raises what `locate` raises."""
        caller.require(Action.MODEL_READ, model)
        resolved = await self._resolver.locate(model, ref)
        version = resolved.version
        located = await self._urls.locate(version, version.artifact(path))
        return Redirect(url=located.url, stale_seconds=resolved.stale_seconds)
