"""From files on this machine to a complete version."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelkeep.client.archives import zipped
from modelkeep.client.errors import NotARegistryError
from modelkeep.client.local_files import HashedFile, LocalFile, find_files, hash_file
from modelkeep.client.pending_registration import PendingRegistration
from modelkeep.client.progress import Progress, Step
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.requests import checked
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.client.uploader import Uploader
from modelkeep.domain.errors import UploadIncompleteError, UploadNotFoundError
from modelkeep.domain.uploads import MAX_PART_SIZE
from modelkeep.kit.concurrency import gather_limited
from modelkeep.schemas.uploads import CreateUpload, UploadArtifactResponse, UploadResponse
from modelkeep.schemas.versions import VersionResponse

MAX_COMPLETE_ATTEMPTS: Final = 3
"""How often what the registry misses is sent before its refusal counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to register: a file, or the files of a folder that the patterns let through, maybe as one archive."""

    path: Path
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    as_zip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKeySource:
    """An Idempotency-Key as it is, or a scope within which the same model, files and metadata have the same key."""

    literal: str | None = None
    scope: str | None = None

    def of(self, model: str, body: CreateUpload) -> str | None:
        """The key to register with; `None` for one of this registration alone."""
        if self.literal is not None or self.scope is None:
            return self.literal
        return hashlib.sha256(f"{self.scope}\n{model}\n{body.model_dump_json()}".encode()).hexdigest()


class Registrar:
    """Registers one source after the other at one registry."""

    def __init__(self, service: RegistryTransport, *, jobs: int, progress: Progress) -> None:
        self._service = service
        self._jobs = jobs
        self._progress = progress

    async def register(
        self, model: str, source: Source, key: IdempotencyKeySource, metadata: dict[str, Any]
    ) -> VersionResponse:
        """Register, going on with what an interrupted call for the same files and metadata has done.

        Raises `LocalFileError`, `ChangedFileError`, `TransferRefusedError`, `UnreachableError`, the registry's errors.
        """
        async with TransferPool(jobs=self._jobs, report=self._progress.move) as transfers:
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
        key: IdempotencyKeySource,
        metadata: dict[str, Any],
        transfers: TransferPool,
    ) -> VersionResponse:
        hashed = await self._hash(found, transfers)
        declared = [{"path": file.path, "size": file.size, "sha256": hashed[file.path].sha256} for file in found]
        body = checked(CreateUpload, artifacts=declared, **metadata)
        unfinished = PendingRegistration(self._service.url, model, body.model_dump_json())
        upload = await self._begin(model, body, key.of(model, body), unfinished)
        version = await self._finish(upload, hashed, transfers)
        unfinished.forget()
        return version

    async def _hash(self, found: list[LocalFile], transfers: TransferPool) -> dict[str, HashedFile]:
        self._progress.begin(Step.HASHING, {file.path: file.size for file in found})
        hashed: dict[str, HashedFile] = {}

        async def hash_one(file: LocalFile) -> None:
            report = partial(self._progress.move, file.path)
            hashed[file.path] = await transfers.in_thread(hash_file, file, transfers.beside, report)

        await gather_limited(hash_one, found, limit=self._jobs)
        return hashed

    async def _begin(
        self, model: str, body: CreateUpload, key: str | None, unfinished: PendingRegistration
    ) -> UploadResponse:
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
        self, upload: UploadResponse, hashed: dict[str, HashedFile], transfers: TransferPool
    ) -> VersionResponse:
        where = ("models", upload.model, "versions", upload.version)
        await self._match_parts(upload, hashed, transfers)
        uploading = Uploader(self._service, transfers, hashed)
        self._progress.begin(Step.UPLOADING, {path: each.file.size for path, each in hashed.items()})
        for artifact in upload.artifacts:
            self._progress.move(artifact.path, _arrived(artifact, hashed[artifact.path]))
        complete = partial(self._service.change, VersionResponse, "POST", *where, "complete")
        for _ in range(MAX_COMPLETE_ATTEMPTS - 1):
            await uploading.send(upload)
            with suppress(UploadIncompleteError):
                return await complete()
            upload = await self._service.get(UploadResponse, *where, "upload")
        await uploading.send(upload)
        return await complete()

    async def _match_parts(
        self, upload: UploadResponse, hashed: dict[str, HashedFile], transfers: TransferPool
    ) -> None:
        """Take the digests of parts once more where the registry cuts a file otherwise. Raises `NotARegistryError`."""
        if sorted(artifact.path for artifact in upload.artifacts) != sorted(hashed):
            raise NotARegistryError(self._service.url, "its upload is of other files than those that were declared")
        for artifact in upload.artifacts:
            known = hashed[artifact.path]
            size = artifact.multipart.part_size if artifact.multipart else known.part_size
            if size != known.part_size:
                if not 1 <= size <= MAX_PART_SIZE:
                    raise NotARegistryError(self._service.url, f"it wants parts of {size} bytes")
                hashed[artifact.path] = await transfers.in_thread(
                    hash_file, known.file, transfers.beside, lambda _: None, part_size=size
                )


def _arrived(artifact: UploadArtifactResponse, hashed: HashedFile) -> int:
    """How many bytes of a file need not be sent, because an earlier attempt has."""
    if artifact.state == "arrived":
        return hashed.file.size
    done = artifact.multipart.parts_done if artifact.multipart else []
    return sum(min(hashed.part_size, hashed.file.size - (number - 1) * hashed.part_size) for number in done)
