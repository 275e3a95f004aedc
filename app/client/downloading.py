"""Fetches artifacts: ranges of large ones in parallel, each file held against its size and SHA-256 before it counts."""

import asyncio
from pathlib import Path
from typing import Final

from app.client.errors import DamagedDownloadError, TransferRefusedError
from app.client.in_parallel import in_parallel
from app.client.partial_file import PartialFile
from app.client.service import Service
from app.client.storage import BLOCK, AnotherObjectError, AttemptFailedError, NoRangesError, UrlRefusedError
from app.client.transfers import Patience, Transfers, is_expiring
from app.schemas.downloads import DownloadArtifactResponse, DownloadResponse

_RANGE: Final = 32 * BLOCK


class Downloading:
    """One download of a version, whose URLs are renewed by its commit: no other version can slip in."""

    def __init__(self, service: Service, transfers: Transfers, version: DownloadResponse) -> None:
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
        try:
            received = await self._complete(artifact, partial)
        except AnotherObjectError:
            received = ""
        if resumed and not _is_right(artifact, received):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.start_again()
            received = await self._complete(artifact, partial)
        if not _is_right(artifact, received):
            self._transfers.report(artifact.path, -partial.arrived)
            partial.discard()
            raise DamagedDownloadError(artifact.path, expected=str(artifact.sha256), received=received)
        await self._transfers.in_thread(partial.finish, target)

    async def _complete(self, artifact: DownloadArtifactResponse, partial: PartialFile) -> str:
        """Fetch what is missing, and return the digest of the whole. Raises `AnotherObjectError` when all is quiet."""
        changed: list[AnotherObjectError] = []
        whole: list[NoRangesError] = []

        async def fetch_range(positions: range) -> None:
            try:
                await self._fetch_range(artifact, partial, positions)
            except AnotherObjectError as error:
                changed.append(error)
            except NoRangesError as error:
                whole.append(error)

        await in_parallel(fetch_range, partial.missing(at_most=_RANGE), jobs=self._transfers.jobs)
        if whole:
            await self._fetch_whole(artifact, partial)
        if changed:
            raise changed[0]
        return await self._transfers.in_thread(partial.sha256)

    async def _fetch_range(self, artifact: DownloadArtifactResponse, partial: PartialFile, positions: range) -> None:
        patience = Patience(artifact.path)
        while positions:
            signed = await self._url(artifact.path)
            try:
                await self._transfers.in_thread(self._receive, signed, partial, positions)
            except AttemptFailedError as failure:
                if len(partial.rest_of(positions)) < len(positions):
                    patience.came_further()
                await self._recover(artifact, failure, patience)
            positions = partial.rest_of(positions)

    async def _fetch_whole(self, artifact: DownloadArtifactResponse, partial: PartialFile) -> None:
        """Fetch everything in one go, from storage that cannot do better; real S3 can."""
        patience = Patience(artifact.path)
        while partial.missing(at_most=partial.size):
            signed = await self._url(artifact.path)
            try:
                await self._transfers.in_thread(self._receive, signed, partial, range(partial.size))
            except AttemptFailedError as failure:
                await self._recover(artifact, failure, patience)

    async def _recover(
        self, artifact: DownloadArtifactResponse, failure: AttemptFailedError, patience: Patience
    ) -> None:
        if isinstance(failure, UrlRefusedError):
            self._urls.pop(artifact.path, None)
        await patience.after(failure)

    def _receive(self, signed: DownloadArtifactResponse, partial: PartialFile, positions: range) -> None:
        at, block = positions.start, bytearray()
        asked = None if positions == range(partial.size) else positions
        for etag, chunk in self._transfers.storage.get(signed.path, signed, asked, partial.etag):
            partial.note_etag(etag)
            block += chunk
            while len(block) >= BLOCK or (block and at + len(block) == positions.stop):
                ready = block[:BLOCK]
                del block[:BLOCK]
                self._transfers.report(signed.path, partial.write(at, ready))
                at += len(ready)
        if at != positions.stop:
            raise AttemptFailedError("fewer bytes came than were announced")

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


def _is_right(artifact: DownloadArtifactResponse, received: str) -> bool:
    return bool(received) and artifact.sha256 in {None, received}


def _vanished(path: str) -> DownloadArtifactResponse:
    raise TransferRefusedError(path, 404, "the registry no longer lists it")
