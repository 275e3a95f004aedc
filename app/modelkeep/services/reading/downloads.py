"""Everything that a serving container needs: the version that answers to a ref, and presigned URLs of its artifacts."""

import asyncio
from collections.abc import Container

from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.downloads import Download, FoundArtifact, Redirect, Resolved
from modelkeep.domain.models import Version
from modelkeep.domain.values import PresignedUrl, Ref
from modelkeep.services.access.caller import Caller
from modelkeep.services.reading.head_poller import POLL_SECONDS, HeadPoller
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.services.reading.resolver import Resolver
from modelkeep.services.reading.stale_cache import StaleCache


class DownloadService:
    """Resolves a ref (stale-if-error), waits for another version if asked to (long polling), and signs."""

    def __init__(
        self, resolver: Resolver, stale_cache: StaleCache, poller: HeadPoller, urls: PresignedUrlCache
    ) -> None:
        self._resolver = resolver
        self._stale_cache = stale_cache
        self._poller = poller
        self._urls = urls

    async def locate(
        self, model: str, ref: Ref, caller: Caller, *, known_commits: Container[str] = (), wait: float = 0
    ) -> Download:
        """Resolve a ref, with a URL for each artifact unless the caller knows the commit.

        If it does, wait up to `wait` seconds for another version to answer to the ref. While the table cannot be read,
        the answer may be stale, and has its age. Raises `ModelNotFoundError`, `VersionNotFoundError`,
        `ArtifactNotFoundError`, `ContentionError`, `UnavailableError`.
        """
        caller.require(Action.MODEL_READ, model)
        resolved = await self._stale_cache.get(model, ref, self._resolver.resolve_for_download)
        if wait and resolved.version.commit in known_commits:
            resolved = await self._wait_for_other(model, ref, resolved, known=known_commits, seconds=wait)
        version = resolved.version
        signed = None if version.commit in known_commits else await self._urls.for_version(version)
        return Download(
            version=version, generation=resolved.generation, signed=signed, stale_seconds=resolved.stale_seconds
        )

    async def locate_artifact(self, model: str, ref: Ref, path: str, caller: Caller) -> Redirect:
        """Resolve a ref, with the URL of one artifact. Raises what `locate` raises."""
        resolved = await self.find_version(model, ref, caller)
        url = await self.sign(resolved.version, resolved.version.artifact(path))
        return Redirect(url=url, stale_seconds=resolved.stale_seconds)

    async def find_artifact(self, model: str, ref: Ref, path: str, caller: Caller) -> FoundArtifact:
        """Resolve a ref, and find one artifact of its version; nothing is signed. Raises what `locate` raises."""
        resolved = await self.find_version(model, ref, caller)
        return FoundArtifact(artifact=resolved.version.artifact(path), stale_seconds=resolved.stale_seconds)

    async def find_version(self, model: str, ref: Ref, caller: Caller) -> Resolved:
        """Resolve a ref; nothing is signed. Description, metrics and tags may be older. Raises what `locate` raises."""
        caller.require(Action.MODEL_READ, model)
        return await self._stale_cache.get(model, ref, self._resolver.resolve_for_download)

    async def describe(self, model: str, ref: Ref, caller: Caller) -> Resolved:
        """Resolve a ref, with description, metrics and tags as they are now. Raises what `locate` raises."""
        caller.require(Action.MODEL_READ, model)
        return await self._stale_cache.get(model, ref, self._resolve_whole)

    async def sign(self, version: Version, artifact: Artifact) -> PresignedUrl:
        """The URL of one artifact of a version that the caller may read. Raises `ArtifactNotFoundError`."""
        return (await self._urls.for_artifact(version, artifact)).url

    async def _resolve_whole(self, model: str, ref: Ref) -> Resolved:
        head, version = await self._resolver.resolve(model, ref)
        return Resolved(head.generation, version)

    async def _wait_for_other(
        self, model: str, ref: Ref, resolved: Resolved, *, known: Container[str], seconds: float
    ) -> Resolved:
        """Wait until a version whose commit is not `known` answers to the ref; after `seconds`, return the last answer.

        If the head has moved but the answer is stale, resolve again after a poll interval.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while resolved.version.commit in known and await self._poller.wait_for_change(
            model, resolved.generation, until=until
        ):
            resolved = await self._stale_cache.get(model, ref, self._resolver.resolve_for_download)
            if resolved.stale_seconds is not None:
                await asyncio.sleep(min(POLL_SECONDS, max(0, until - loop.time())))
        return resolved
