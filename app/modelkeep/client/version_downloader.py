"""Downloads the files of a version."""

import errno
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from modelkeep.client.artifact_downloader import ArtifactDownloader
from modelkeep.client.cache import Cache
from modelkeep.client.disk_layout import kept_path, partial_path
from modelkeep.client.download_target import DownloadTarget
from modelkeep.client.errors import LocalFileError
from modelkeep.client.marks import Mark
from modelkeep.client.path_patterns import PathPatterns
from modelkeep.client.present_files import PresentFiles
from modelkeep.client.progress import Progress, Step
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.domain.artifact_paths import check_artifact_path, check_distinct_paths
from modelkeep.domain.errors import ArtifactNotFoundError, ForbiddenError, InvalidRequestError, NotFoundError
from modelkeep.domain.values import Digest
from modelkeep.kit.concurrency import gather_limited
from modelkeep.kit.file_locks import async_locked, async_locked_if_possible
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse
from modelkeep.schemas.versions import VersionPage

_PAGE_SIZE: Final = 100

_STAT_BLOCK: Final = 512
"""The unit of `st_blocks` in bytes, on every file system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadResult:
    """A version on this machine. It can be used as a path: `open(result)`, `Path(result)`, `torch.load(result)`.

    `path` is the file if the version has only one and no empty folder, else the folder of its files. `artifacts` are
    the selected ones, `resolved` is the registry's answer for the ref, and `changed` is `False` if `path` was up to
    date before.
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

    def __init__(self, transport: RegistryTransport, *, jobs: int, progress: Progress, cache: Cache | None) -> None:
        self._transport = transport
        self._jobs = jobs
        self._progress = progress
        self._cache = cache

    async def download(
        self,
        version: DownloadResponse,
        dest: Path,
        *,
        paths: Sequence[str],
        force: bool,
        dry_run: bool,
        verify: bool,
    ) -> DownloadResult:
        """Put the artifacts and empty folders that match `paths`, or all, below `dest`, unless they are there.

        What no download put there is replaced only by `force`. An interrupted call is resumed. With `dry_run`, nothing
        is written or fetched. With `verify` every file that is there is read, marked or not.

        Raises `DamagedDownloadError`, `LocalFileError`, `TransferRefusedError`, `UnreachableError`, the registry's.
        """
        selected, empty_folders = _select(version, paths)
        destination = DownloadTarget(dest, version, selected, empty_folders, verify=verify)
        done = partial(DownloadResult, path=destination.path, resolved=version, artifacts=selected)
        async with TransferPool(jobs=self._jobs, report=self._progress.advance) as transfers:
            try:
                destination.check(force=force)
                was_begun = destination.is_begun()
                if (dry_run or not was_begun) and await transfers.in_thread(destination.is_up_to_date):
                    if destination.has_read and not dry_run:
                        await _remember(destination, transfers)
                    return done(changed=False)
                if dry_run:
                    if not force:
                        await self._check_replaceable(destination, version, transfers)
                    return done(changed=True)
                await transfers.in_thread(dest.mkdir, parents=True, exist_ok=True)
                async with async_locked_if_possible(destination.lock, self._say_unlocked) as waited:
                    if (waited or was_begun) and await transfers.in_thread(destination.is_up_to_date):
                        with suppress(OSError):
                            await transfers.in_thread(destination.remember)
                        destination.clear()
                        return done(changed=waited)
                    if not force:
                        await self._check_replaceable(destination, version, transfers)
                    with destination.cleared_when_full():
                        await self._download_files(destination, version, selected, transfers)
                return done(changed=True)
            except OSError as error:
                raise LocalFileError(dest, f"cannot be written to: {error.strerror}.") from error

    async def _check_replaceable(
        self, destination: DownloadTarget, version: DownloadResponse, transfers: TransferPool
    ) -> None:
        """Raise `LocalFileError` for a file that no download put there, unless a version of the model has its bytes."""
        sha256 = await transfers.in_thread(destination.foreign_sha256)
        if sha256 is not None and not await self._is_registered(version.model, sha256):
            destination.refuse()

    async def _is_registered(self, model: str, sha256: str) -> bool:
        """Whether one of the newest versions has a file of these bytes, which then can be downloaded again."""
        with suppress(ForbiddenError, NotFoundError):
            page = await self._transport.get(VersionPage, "models", model, "versions", limit=_PAGE_SIZE)
            return any(artifact.sha256 == sha256 for version in page.items for artifact in version.artifacts)
        return False

    def _say_unlocked(self, error: OSError) -> None:
        self._progress.remark(
            f"The destination cannot be locked: {error.strerror}. Let no other download into it run at the same time."
        )

    async def _download_files(
        self,
        destination: DownloadTarget,
        version: DownloadResponse,
        selected: Sequence[DownloadArtifactResponse],
        transfers: TransferPool,
    ) -> None:
        destination.partial.mkdir(exist_ok=True)
        self._progress.begin(Step.DOWNLOADING, {artifact.path: artifact.size or 0 for artifact in selected})
        downloader = ArtifactDownloader(self._transport, transfers, version)
        files = {artifact.path: destination.partial / _partial_name(artifact) for artifact in selected}
        present = await transfers.in_thread(destination.present_files)
        existing = await transfers.in_thread(_existing, files.values())
        linked = await transfers.in_thread(
            _link, present, [each for each in selected if files[each.path] not in existing], files
        )
        if self._cache is None:
            _check_free_space(
                destination.partial,
                [(files[each.path], each.size or 0) for each in selected if each.path not in linked],
            )

        async def provide(artifact: DownloadArtifactResponse) -> None:
            target = files[artifact.path]
            fetch = partial(self._fetch, artifact, present, downloader, transfers)
            is_there = target in existing or artifact.path in linked
            if is_there or await self._provide(artifact, target, fetch, transfers):
                self._progress.advance(artifact.path, artifact.size or 0)

        await gather_limited(provide, selected, limit=self._jobs)
        await transfers.in_thread(destination.publish, files, linked)

    async def _provide(
        self,
        artifact: DownloadArtifactResponse,
        target: Path,
        fetch: Callable[[Path], Awaitable[None]],
        transfers: TransferPool,
    ) -> bool:
        """Put an artifact at `target`. Returns whether it was in the cache, so that nothing was fetched."""
        if self._cache is not None and artifact.sha256 is not None:
            return await self._cache.provide(artifact.sha256, target, fetch, transfers)
        await fetch(target)
        return False

    async def _fetch(
        self,
        artifact: DownloadArtifactResponse,
        present: PresentFiles,
        downloader: ArtifactDownloader,
        transfers: TransferPool,
        target: Path,
    ) -> None:
        """Copy an artifact from where it lies at the destination already, or fetch it."""
        if await transfers.in_thread(present.copy, artifact, target):
            self._progress.advance(artifact.path, artifact.size or 0)
        else:
            await downloader.fetch(artifact, target)


async def _remember(destination: DownloadTarget, transfers: TransferPool) -> None:
    """Mark the files that were read, unless nothing can be written there."""
    with suppress(OSError):
        async with async_locked(destination.lock):
            await transfers.in_thread(destination.remember)


def _link(
    present: PresentFiles, artifacts: Sequence[DownloadArtifactResponse], files: dict[str, Path]
) -> dict[str, Mark]:
    """Let `files` name the marked files that are there of some artifacts. Returns their marks, by path."""
    linked = {}
    for artifact in artifacts:
        kept = kept_path(files[artifact.path])
        if mark := present.link(artifact, kept):
            files[artifact.path], linked[artifact.path] = kept, mark
    return linked


def _existing(files: Iterable[Path]) -> set[Path]:
    return {file for file in files if file.exists()}


def _select(
    version: DownloadResponse, patterns: Sequence[str]
) -> tuple[Sequence[DownloadArtifactResponse], Sequence[str]]:
    """The artifacts and the empty folders that match a pattern, or all.

    Every path and digest is checked, because they become file names.
    """
    try:
        for folder in version.empty_folders:
            check_artifact_path(folder)
        for artifact in version.artifacts:
            check_artifact_path(artifact.path)
            if artifact.sha256 is not None:
                Digest(artifact.sha256)
        check_distinct_paths([*(artifact.path for artifact in version.artifacts), *version.empty_folders])
    except ValueError as error:
        raise InvalidRequestError([{"location": "artifacts", "message": str(error)}]) from None
    return _matching(version, patterns) if patterns else (version.artifacts, version.empty_folders)


def _matching(
    version: DownloadResponse, patterns: Sequence[str]
) -> tuple[Sequence[DownloadArtifactResponse], Sequence[str]]:
    try:
        wanted = PathPatterns(patterns)
    except ValueError as error:
        raise InvalidRequestError([{"location": "paths", "message": str(error)}]) from None
    selected = [artifact for artifact in version.artifacts if wanted.deciding(artifact.path) is not None]
    empty_folders = [folder for folder in version.empty_folders if wanted.deciding(f"{folder}/") is not None]
    if unmatched := wanted.unmatched or ([] if selected or empty_folders else patterns):
        raise ArtifactNotFoundError(version.model, version.version, unmatched[0])
    return selected, empty_folders


def _partial_name(artifact: DownloadArtifactResponse) -> str:
    """The name of a file while it arrives, which changes with its bytes."""
    return hashlib.sha256(f"{artifact.path}\n{artifact.size}\n{artifact.sha256}".encode()).hexdigest()


def _check_free_space(folder: Path, files: Sequence[tuple[Path, int]]) -> None:
    needed = sum(max(0, size - _bytes_on_disk(file)) for file, size in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed} bytes are needed and {free} are free")


def _bytes_on_disk(file: Path) -> int:
    """How many bytes what has arrived of a file takes on disk."""
    candidates = (file, partial_path(file))
    return sum(each.stat().st_blocks for each in candidates if each.exists()) * _STAT_BLOCK
