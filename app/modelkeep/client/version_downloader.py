"""From a ref to the files of its version on this machine."""

import errno
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Final

from modelkeep.client.artifact_downloader import ArtifactDownloader
from modelkeep.client.cache import Cache
from modelkeep.client.download_target import DownloadTarget
from modelkeep.client.errors import LocalFileError
from modelkeep.client.progress import Progress, Step
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.domain.errors import ArtifactNotFoundError, InvalidRequestError
from modelkeep.domain.values import Digest, check_artifact_path, check_distinct_paths
from modelkeep.kit.concurrency import gather_limited
from modelkeep.kit.file_locks import async_locked
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse

_STAT_BLOCK: Final = 512
"""The unit of `st_blocks`, whatever the file system's own is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadResult:
    """A version on this machine. It is a path itself: `open(result)` and `Path(result)` take it for `path`.

    `path` is the file if the version has only one, else the folder that holds its files. `artifacts` are those that
    were asked for, `resolved` is what the registry answered to the ref, and `changed` says whether anything was put
    there: it is `False` if the very version was there before.
    """

    path: Path
    resolved: DownloadResponse
    artifacts: Sequence[DownloadArtifactResponse]
    changed: bool

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.resolved.model

    @property
    def version(self) -> int:
        """The number of the version."""
        return self.resolved.version

    @property
    def size(self) -> int:
        """The sum of the artifacts' sizes, in bytes."""
        return sum(artifact.size or 0 for artifact in self.artifacts)


class VersionDownloader:
    """Downloads versions of one registry."""

    def __init__(self, service: RegistryTransport, *, jobs: int, progress: Progress, cache: Cache | None) -> None:
        self._service = service
        self._jobs = jobs
        self._progress = progress
        self._cache = cache

    async def fetch(
        self, version: DownloadResponse, dest: Path, *, paths: Sequence[str], if_changed: bool
    ) -> DownloadResult:
        """Put a version below `dest`, going on with what an interrupted call has fetched.

        Raises `DamagedDownloadError`, `LocalFileError`, `TransferRefusedError`, `UnreachableError`, the registry's.
        """
        chosen = _choose(version, paths)
        place = DownloadTarget(dest, version, chosen)
        done = partial(DownloadResult, path=place.path, resolved=version, artifacts=chosen)
        async with TransferPool(jobs=self._jobs, report=self._progress.move) as transfers:
            try:
                place.check()
                was_begun = place.is_begun()
                if if_changed and not was_begun and await transfers.in_thread(place.holds):
                    return done(changed=False)
                await transfers.in_thread(dest.mkdir, parents=True, exist_ok=True)
                async with async_locked(place.lock) as waited:
                    if (if_changed or waited or was_begun) and await transfers.in_thread(place.holds):
                        place.clear()
                        return done(changed=waited)
                    with place.cleared_when_full():
                        await self._fill(place, version, chosen, transfers)
                return done(changed=True)
            except OSError as error:
                raise LocalFileError(dest, f"cannot be written to: {error.strerror}.") from error

    async def _fill(
        self,
        place: DownloadTarget,
        version: DownloadResponse,
        chosen: Sequence[DownloadArtifactResponse],
        transfers: TransferPool,
    ) -> None:
        place.partial.mkdir(exist_ok=True)
        self._progress.begin(Step.DOWNLOADING, {artifact.path: artifact.size or 0 for artifact in chosen})
        downloading = ArtifactDownloader(self._service, transfers, version)
        files = {artifact.path: place.partial / _name(artifact) for artifact in chosen}
        if self._cache is None:
            _check_room(place.partial, [(files[artifact.path], artifact.size or 0) for artifact in chosen])

        there = await transfers.in_thread(_existing, files.values())

        async def provide(artifact: DownloadArtifactResponse) -> None:
            target = files[artifact.path]
            if target in there or await self._is_cached(artifact, target, downloading, transfers):
                self._progress.move(artifact.path, artifact.size or 0)

        await gather_limited(provide, chosen, limit=self._jobs)
        await transfers.in_thread(place.put, files)

    async def _is_cached(
        self, artifact: DownloadArtifactResponse, target: Path, downloading: ArtifactDownloader, transfers: TransferPool
    ) -> bool:
        """Put an artifact at `target`; whether it was in the cache, and nothing was fetched."""
        fetch = partial(downloading.fetch, artifact)
        if self._cache is not None and artifact.sha256 is not None:
            return await self._cache.provide(artifact.sha256, target, fetch, transfers)
        await fetch(target)
        return False


def _existing(files: Iterable[Path]) -> set[Path]:
    return {file for file in files if file.exists()}


def _choose(version: DownloadResponse, patterns: Sequence[str]) -> list[DownloadArtifactResponse]:
    """The artifacts that any of the patterns matches, or all; paths and digests, which name files here, are checked."""
    try:
        for artifact in version.artifacts:
            check_artifact_path(artifact.path)
            if artifact.sha256 is not None:
                Digest(artifact.sha256)
        check_distinct_paths(artifact.path for artifact in version.artifacts)
    except ValueError as error:
        raise InvalidRequestError([{"location": "artifacts", "message": str(error)}]) from None
    for pattern in patterns:
        if not any(fnmatchcase(artifact.path, pattern) for artifact in version.artifacts):
            raise ArtifactNotFoundError(version.model, version.version, pattern)
    chosen = (a for a in version.artifacts if any(fnmatchcase(a.path, pattern) for pattern in patterns or ["*"]))
    return list(chosen)


def _name(artifact: DownloadArtifactResponse) -> str:
    """A name for what has arrived of an artifact: another one for other bytes."""
    return hashlib.sha256(f"{artifact.path}\n{artifact.size}\n{artifact.sha256}".encode()).hexdigest()


def _check_room(folder: Path, files: Sequence[tuple[Path, int]]) -> None:
    needed = sum(max(0, size - _held(file)) for file, size in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed and {free} are free")


def _held(file: Path) -> int:
    """Bytes on disk of what has arrived of a file."""
    candidates = (file, file.with_name(f"{file.name}.partial"))
    return sum(each.stat().st_blocks for each in candidates if each.exists()) * _STAT_BLOCK
