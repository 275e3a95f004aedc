"""Fetches artifacts: ranges of large ones in parallel. Size and SHA-256 of each file are verified."""

import asyncio
from pathlib import Path
from typing import Final, NoReturn

from modelkeep.client.disk_layout import partial_path
from modelkeep.client.errors import DamagedDownloadError, TransferRefusedError
from modelkeep.client.partial_file import PartialFile
from modelkeep.client.presigned_transport import (
    BLOCK,
    AttemptFailedError,
    ObjectChangedError,
    RangeNotSupportedError,
    UrlRefusedError,
)
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import RetryState, TransferPool, is_expiring
from modelkeep.kit.concurrency import gather_limited
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse

_RANGE_BYTES: Final = 32 * BLOCK


class ArtifactDownloader:
    """One download of a version. Its URLs are renewed by its commit, so that they stay those of this version."""

    def __init__(self, transport: RegistryTransport, transfers: TransferPool, version: DownloadResponse) -> None:
        self._transport = transport
        self._transfers = transfers
        self._version = version
        self._urls = _by_path(version)
        self._renewal_lock = asyncio.Lock()

    async def fetch(self, artifact: DownloadArtifactResponse, target: Path) -> None:
        """Fetch an artifact to `target`, resuming what an earlier call left beside it.

        Raises `DamagedDownloadError`, `TransferRefusedError`, `UnreachableError`, the registry's errors, and `OSError`.
        """
        partial = await self._transfers.in_thread(PartialFile, partial_path(target), artifact.size or 0)
        try:
            await self._fetch(artifact, partial, target)
        finally:
            partial.close()

    async def _fetch(self, artifact: DownloadArtifactResponse, partial: PartialFile, target: Path) -> None:
        resumed = partial.arrived
        self._transfers.report(artifact.path, resumed)
        received = await self._fetch_missing(artifact, partial, target)
        if not _is_intact(artifact, received) and (resumed or received is None):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.reset()
            received = await self._fetch_missing(artifact, partial, target)
        if not _is_intact(artifact, received):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.discard()
            raise DamagedDownloadError(artifact.path, expected=str(artifact.sha256), received=received or "")

    async def _fetch_missing(
        self, artifact: DownloadArtifactResponse, partial: PartialFile, target: Path
    ) -> str | None:
        """Fetch what is missing, and move the file to `target` if it is intact.

        Returns its digest, or `None` if storage holds another object than the one that the file was begun with.
        """
        obstacles: list[Exception] = []

        async def fetch(positions: range, *, whole: bool = False) -> None:
            try:
                await self._fetch_range(artifact, partial, positions, whole=whole)
            except (ObjectChangedError, RangeNotSupportedError) as obstacle:
                obstacles.append(obstacle)

        await gather_limited(fetch, partial.missing(at_most=_RANGE_BYTES), limit=self._transfers.jobs)
        if any(isinstance(obstacle, RangeNotSupportedError) for obstacle in obstacles):
            await fetch(range(partial.size), whole=True)
        if any(isinstance(obstacle, ObjectChangedError) for obstacle in obstacles):
            return None
        return await self._transfers.in_thread(_verify_and_finish, artifact, partial, target)

    async def _fetch_range(
        self, artifact: DownloadArtifactResponse, partial: PartialFile, positions: range, *, whole: bool
    ) -> None:
        """Fetch a range of whole blocks; or, if `whole`, all of the object, from storage that ignores `Range`."""
        retries = RetryState(artifact.path)
        while remaining := partial.remaining(positions):
            signed = await self._url(artifact.path)
            try:
                await self._transfers.in_thread(
                    self._receive, signed, partial, range(partial.size) if whole else remaining
                )
            except AttemptFailedError as failure:
                if len(partial.remaining(remaining)) < len(remaining):
                    retries.reset()
                if isinstance(failure, UrlRefusedError):
                    self._discard(signed)
                await retries.wait_after(failure)

    def _receive(self, signed: DownloadArtifactResponse, partial: PartialFile, positions: range) -> None:
        at, block = positions.start, bytearray()
        for etag, chunk in self._transfers.transport.get(signed.path, signed, positions, partial.size, partial.etag):
            partial.set_etag(etag)
            block += chunk
            if at + len(block) > positions.stop:
                raise ObjectChangedError
            while len(block) >= BLOCK or (block and at + len(block) == positions.stop):
                ready = block[:BLOCK]
                del block[:BLOCK]
                self._transfers.report(signed.path, partial.write(at, ready))
                at += len(ready)
        if at != positions.stop:
            raise AttemptFailedError("fewer bytes came than were announced")

    def _discard(self, refused: DownloadArtifactResponse) -> None:
        if self._urls.get(refused.path) is refused:
            del self._urls[refused.path]

    async def _url(self, path: str) -> DownloadArtifactResponse:
        signed = self._urls.get(path)
        if signed is None or is_expiring(signed):
            async with self._renewal_lock:
                if self._urls.get(path) is signed:
                    version_path = ("models", self._version.model, "versions", self._version.commit, "download")
                    self._urls = _by_path(await self._transport.get(DownloadResponse, *version_path))
        return self._urls.get(path) or _vanished(path)


def _by_path(version: DownloadResponse) -> dict[str, DownloadArtifactResponse]:
    return {artifact.path: artifact for artifact in version.artifacts}


def _verify_and_finish(artifact: DownloadArtifactResponse, partial: PartialFile, target: Path) -> str:
    received = partial.sha256()
    if _is_intact(artifact, received):
        partial.finish(target)
    return received


def _is_intact(artifact: DownloadArtifactResponse, received: str | None) -> bool:
    return received is not None and artifact.sha256 in {None, received}


def _vanished(path: str) -> NoReturn:
    raise TransferRefusedError(path, 404, "the registry no longer lists it")
