"""From files on this machine to a complete version."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from app.client.archives import zipped
from app.client.in_parallel import in_parallel
from app.client.local_files import HashedFile, LocalFile, find_files, hash_file
from app.client.progress import Progress, Step
from app.client.requests import checked
from app.client.service import Service
from app.client.transfers import Transfers
from app.client.unfinished import Unfinished
from app.client.uploading import Uploading
from app.domain.errors import UploadIncompleteError, UploadNotFoundError
from app.schemas.uploads import CreateUpload, UploadResponse
from app.schemas.versions import VersionResponse

_ROUNDS: Final = 3
"""How often what the registry misses is sent before its refusal counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to register: a file, or the files of a folder that the patterns let through, maybe as one archive."""

    path: Path
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    as_zip: bool = False


class Registering:
    """Registers one source after the other at one registry."""

    def __init__(self, service: Service, *, jobs: int, progress: Progress) -> None:
        self._service = service
        self._jobs = jobs
        self._progress = progress

    async def register(self, model: str, source: Source, key: str | None, metadata: dict[str, Any]) -> VersionResponse:
        """Register, going on with what an interrupted call for the same files and metadata has done.

        Raises `LocalFileError`, `ChangedFileError`, `TransferRefusedError`, `UnreachableError`, the registry's errors.
        """
        async with Transfers(jobs=self._jobs, report=self._progress.move) as transfers:
            found = await transfers.in_thread(find_files, source.path, include=source.include, exclude=source.exclude)
            if source.as_zip and source.path.is_dir():
                async with zipped(source.path, found, transfers) as archive:
                    return await self._register(
                        model, await transfers.in_thread(find_files, archive), key, metadata, transfers
                    )
            return await self._register(model, found, key, metadata, transfers)

    async def _register(
        self,
        model: str,
        found: list[LocalFile],
        key: str | None,
        metadata: dict[str, Any],
        transfers: Transfers,
    ) -> VersionResponse:
        hashed = await self._hash(found, transfers)
        declared = [{"path": file.path, "size": file.size, "sha256": hashed[file.path].sha256} for file in found]
        body = checked(CreateUpload, artifacts=declared, **metadata)
        unfinished = Unfinished(self._service.url, model, body.model_dump_json())
        upload = await self._begin(model, body, key, unfinished)
        version = await self._finish(upload, hashed, transfers)
        unfinished.forget()
        return version

    async def _hash(self, found: list[LocalFile], transfers: Transfers) -> dict[str, HashedFile]:
        self._progress.begin(Step.HASHING, {file.path: file.size for file in found})
        hashed: dict[str, HashedFile] = {}

        async def hash_one(file: LocalFile) -> None:
            report = partial(self._progress.move, file.path)
            hashed[file.path] = await transfers.in_thread(hash_file, file, transfers.beside, report)

        await in_parallel(hash_one, found, jobs=self._jobs)
        return hashed

    async def _begin(self, model: str, body: CreateUpload, key: str | None, unfinished: Unfinished) -> UploadResponse:
        """Begin, or find what was begun under the key; if that is gone, begin another, unless the key was given."""
        begin = partial(self._service.change, UploadResponse, "POST", "models", model, "versions", body=body)
        if key is not None:
            return await begin(key=key)
        try:
            return await begin(key=unfinished.key())
        except UploadNotFoundError:
            unfinished.forget()
            return await begin(key=unfinished.key())

    async def _finish(
        self, upload: UploadResponse, hashed: dict[str, HashedFile], transfers: Transfers
    ) -> VersionResponse:
        where = ("models", upload.model, "versions", upload.version)
        for artifact in upload.artifacts:
            known = hashed[artifact.path]
            if artifact.multipart and artifact.multipart.part_size != known.part_size:
                hashed[artifact.path] = await transfers.in_thread(
                    hash_file, known.file, transfers.beside, lambda _: None, part_size=artifact.multipart.part_size
                )
        uploading = Uploading(self._service, transfers, hashed)
        self._progress.begin(Step.UPLOADING, {artifact.path: artifact.size or 0 for artifact in upload.artifacts})
        for round_ in range(1, _ROUNDS + 1):
            await uploading.send(upload)
            try:
                return await self._service.change(VersionResponse, "POST", *where, "complete")
            except UploadIncompleteError:
                if round_ == _ROUNDS:
                    raise
                upload = await self._service.get(UploadResponse, *where, "upload")
        raise AssertionError
