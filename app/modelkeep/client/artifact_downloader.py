"""Fetches artifacts: ranges of large ones in parallel, each file held against its size and SHA-256 before it counts."""

import asyncio
from pathlib import Path
from typing import Final

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

_RANGE: Final = 32 * BLOCK


class ArtifactDownloader:
    """One download of a version, whose URLs are renewed by its commit: no other version can slip in."""

    def __init__(self, service: RegistryTransport, transfers: TransferPool, version: DownloadResponse) -> None:
        self._service = service
        self._transfers = transfers
        self._version = version
        self._urls = _by_path(version)
        self._renewing = asyncio.Lock()

    async def fetch(self, artifact: DownloadArtifactResponse, target: Path) -> None:
        """Fetch an artifact to `target`, going on from what an earlier attempt left beside it.

        Raises `DamagedDownloadError`, `TransferRefusedError`, `UnreachableError`, the registry's errors, and `OSError`.
        """
        partial = await self._transfers.in_thread(
            PartialFile, target.with_name(f"{target.name}.partial"), artifact.size or 0
        )
        try:
            await self._fetch(artifact, partial, target)
        finally:
            partial.close()

    async def _fetch(self, artifact: DownloadArtifactResponse, partial: PartialFile, target: Path) -> None:
        resumed = partial.arrived
        self._transfers.report(artifact.path, resumed)
        received = await self._complete(artifact, partial, target)
        if not _is_right(artifact, received) and (resumed or received is None):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.start_again()
            received = await self._complete(artifact, partial, target)
        if not _is_right(artifact, received):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.discard()
            raise DamagedDownloadError(artifact.path, expected=str(artifact.sha256), received=received or "")

    async def _complete(self, artifact: DownloadArtifactResponse, partial: PartialFile, target: Path) -> str | None:
        """Fetch what is missing, move the whole to `target` if it is right, and return its digest.

        `None` if it turns out to be another object.
        """
        obstacles: list[Exception] = []

        async def fetch(positions: range, *, whole: bool = False) -> None:
            try:
                await self._fetch_run(artifact, partial, positions, whole=whole)
            except (ObjectChangedError, RangeNotSupportedError) as obstacle:
                obstacles.append(obstacle)

        await gather_limited(fetch, partial.missing(at_most=_RANGE), limit=self._transfers.jobs)
        if any(isinstance(obstacle, RangeNotSupportedError) for obstacle in obstacles):
            await fetch(range(partial.size), whole=True)
        if any(isinstance(obstacle, ObjectChangedError) for obstacle in obstacles):
            return None
        return await self._transfers.in_thread(_conclude, artifact, partial, target)

    async def _fetch_run(
        self, artifact: DownloadArtifactResponse, partial: PartialFile, positions: range, *, whole: bool
    ) -> None:
        """Fetch a run of blocks; in one go with all others if `whole`, from storage that can do no better. S3 can."""
        patience = RetryState(artifact.path)
        while left := partial.rest_of(positions):
            signed = await self._url(artifact.path)
            try:
                await self._transfers.in_thread(self._receive, signed, partial, range(partial.size) if whole else left)
            except AttemptFailedError as failure:
                if len(partial.rest_of(left)) < len(left):
                    patience.reset()
                if isinstance(failure, UrlRefusedError):
                    self._drop(signed)
                await patience.after(failure)

    def _receive(self, signed: DownloadArtifactResponse, partial: PartialFile, positions: range) -> None:
        at, block = positions.start, bytearray()
        for etag, chunk in self._transfers.storage.get(signed.path, signed, positions, partial.size, partial.etag):
            partial.note_etag(etag)
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

    def _drop(self, refused: DownloadArtifactResponse) -> None:
        if self._urls.get(refused.path) is refused:
            del self._urls[refused.path]

    async def _url(self, path: str) -> DownloadArtifactResponse:
        signed = self._urls.get(path)
        if signed is None or is_expiring(signed):
            async with self._renewing:
                if self._urls.get(path) is signed:
                    where = ("models", self._version.model, "versions", self._version.commit, "download")
                    self._urls = _by_path(await self._service.get(DownloadResponse, *where))
        return self._urls.get(path) or _vanished(path)


def _by_path(version: DownloadResponse) -> dict[str, DownloadArtifactResponse]:
    return {artifact.path: artifact for artifact in version.artifacts}


def _conclude(artifact: DownloadArtifactResponse, partial: PartialFile, target: Path) -> str:
    received = partial.sha256()
    if _is_right(artifact, received):
        partial.finish(target)
    return received


def _is_right(artifact: DownloadArtifactResponse, received: str | None) -> bool:
    return received is not None and artifact.sha256 in {None, received}


def _vanished(path: str) -> DownloadArtifactResponse:
    raise TransferRefusedError(path, 404, "the registry no longer lists it")
