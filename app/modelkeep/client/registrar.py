"""Registers files on this machine as a complete version."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelkeep.client.archives import zipped
from modelkeep.client.errors import ChangedFileError, LocalFileError, NotARegistryError
from modelkeep.client.local_files import HashedFile, LocalFile, LocalTree, find_tree, hash_file
from modelkeep.client.pending_registration import PendingRegistration
from modelkeep.client.progress import Progress, Step
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.requests import build_body
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.client.uploader import Uploader
from modelkeep.domain.errors import (
    IntegrityError,
    ReusedObjectChangedError,
    TooManyArtifactsError,
    UploadIncompleteError,
    UploadNotFoundError,
)
from modelkeep.domain.uploads import MAX_ARTIFACTS, MAX_EMPTY_FOLDERS, MAX_PART_SIZE
from modelkeep.kit.concurrency import gather_limited
from modelkeep.kit.text import format_count, format_share
from modelkeep.schemas.uploads import CreateUpload, UploadArtifactResponse, UploadResponse
from modelkeep.schemas.versions import VersionResponse

MAX_COMPLETE_ATTEMPTS: Final = 3
"""How often an upload is sent and completed before `UploadIncompleteError` is raised."""

MAX_BEGINNINGS: Final = 3
"""How often a registration is begun before an `IntegrityError` is raised, each time for another number."""

MAX_RENEWALS: Final = 100
"""How many keys of one registration are tried, each of which began an upload that is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to register: a file, or the files of a folder that match the patterns, each by itself or as one archive."""

    path: Path
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    follow_links: bool = False
    as_zip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKeySource:
    """An Idempotency-Key, or a scope: within it, equal models, files and metadata have equal keys."""

    literal: str | None = None
    scope: str | None = None

    @property
    def is_derived(self) -> bool:
        """Whether the key is made from the scope, so that it is renewed when what it began is gone."""
        return self.literal is None and self.scope is not None

    def key_for(self, model: str, body: CreateUpload) -> str | None:
        """The key to register with; `None` for a key that is used once."""
        if not self.is_derived:
            return self.literal
        return _derived(self.scope, model, body.model_dump_json())


class Registrar:
    """Registers sources at one registry."""

    def __init__(self, transport: RegistryTransport, *, jobs: int, progress: Progress) -> None:
        self._transport = transport
        self._jobs = jobs
        self._progress = progress

    async def register(
        self, model: str, source: Source, key_source: IdempotencyKeySource, metadata: dict[str, Any]
    ) -> VersionResponse:
        """Register a source, or resume what an interrupted call for the same files and metadata has begun.

        If storage has other bytes under the number that is given out, the source is registered under another.
        Raises `LocalFileError`, `ChangedFileError`, `TransferRefusedError`, `UnreachableError`, the registry's errors.
        """
        async with TransferPool(jobs=self._jobs, report=self._progress.advance) as transfers:
            tree = await self._find(source, transfers)
            if source.as_zip and source.path.is_dir():
                async with zipped(model, source.path, tree, transfers, self._progress.remark) as archive:
                    return await self._register(
                        model, await transfers.in_thread(find_tree, archive), key_source, metadata, transfers
                    )
            return await self._register(model, tree, key_source, metadata, transfers)

    async def preview(self, source: Source) -> dict[str, int]:
        """The sizes of the files that would be registered, in bytes, by path. Raises `LocalFileError`.

        An empty folder has a path that ends in a slash, and the size 0.
        """
        async with TransferPool(jobs=self._jobs, report=self._progress.advance) as transfers:
            tree = await self._find(source, transfers)
        return {file.path: file.size for file in tree.files} | {f"{folder}/": 0 for folder in tree.empty_folders}

    async def _find(self, source: Source, transfers: TransferPool) -> LocalTree:
        tree = await transfers.in_thread(
            find_tree,
            source.path,
            include=source.include,
            exclude=source.exclude,
            follow_links=source.follow_links,
            remark=self._progress.remark,
        )
        if not source.as_zip:
            _check_counts(source.path, tree)
        return tree

    async def _register(
        self,
        model: str,
        tree: LocalTree,
        key_source: IdempotencyKeySource,
        metadata: dict[str, Any],
        transfers: TransferPool,
    ) -> VersionResponse:
        hashed = await self._hash(tree.files, transfers)
        folders = {"empty_folders": tree.empty_folders} if tree.empty_folders else {}
        declared = [_declared(hashed[file.path]) for file in tree.files]
        body = build_body(CreateUpload, artifacts=declared, **folders, **metadata)
        pending = PendingRegistration(self._transport.url, model, body.model_dump_json(), remark=self._progress.remark)
        key = key_source.key_for(model, body)
        begin = partial(self._begin, model, pending=pending, renew=key_source.is_derived)
        for beginning in range(1, MAX_BEGINNINGS):
            try:
                return await self._register_once(await begin(body, _key_of(key, beginning)), pending, hashed, transfers)
            except ChangedFileError:
                raise
            except IntegrityError as error:
                pending.clear()
                if isinstance(error, ReusedObjectChangedError):
                    body = body.model_copy(update={"reuse": False})
        return await self._register_once(await begin(body, _key_of(key, MAX_BEGINNINGS)), pending, hashed, transfers)

    async def _register_once(
        self,
        upload: UploadResponse,
        pending: PendingRegistration,
        hashed: dict[str, HashedFile],
        transfers: TransferPool,
    ) -> VersionResponse:
        """Register under one number. Raises `IntegrityError` if storage has other bytes under it."""
        version = await self._upload_and_complete(upload, hashed, transfers)
        pending.clear()
        return version

    async def _hash(self, files: list[LocalFile], transfers: TransferPool) -> dict[str, HashedFile]:
        self._progress.begin(Step.HASHING, {file.path: file.size for file in files})
        hashed: dict[str, HashedFile] = {}

        async def hash_one(file: LocalFile) -> None:
            report = partial(self._progress.advance, file.path)
            hashed[file.path] = await transfers.in_thread(hash_file, file, transfers.hash_executor, report)

        await gather_limited(hash_one, files, limit=self._jobs)
        return hashed

    async def _begin(
        self, model: str, body: CreateUpload, key: str | None, *, pending: PendingRegistration, renew: bool
    ) -> UploadResponse:
        """Begin an upload, or find the one that was begun under the key; if that is gone, begin another.

        The next key is made of the last one and the number that is gone, so that every attempt at a run arrives at the
        same one. Without `renew`, a `key` begins no other upload: the registry's error is raised.
        """
        begin = partial(self._transport.change, UploadResponse, "POST", "models", model, "versions", body=body)
        if key is not None and not renew:
            return await begin(key=key)
        for _ in range(1, MAX_RENEWALS):
            try:
                return await begin(key=key or pending.key())
            except UploadNotFoundError as gone:
                pending.clear()
                key = key and _derived(key, "renewed after", gone.version)
        return await begin(key=key or pending.key())

    async def _upload_and_complete(
        self, upload: UploadResponse, hashed: dict[str, HashedFile], transfers: TransferPool
    ) -> VersionResponse:
        path = ("models", upload.model, "versions", upload.version)
        await self._match_part_sizes(upload, hashed, transfers)
        uploader = Uploader(self._transport, transfers, hashed)
        arrived = {artifact.path: _arrived_bytes(artifact, hashed[artifact.path]) for artifact in upload.artifacts}
        self._say_what_is_there(upload, arrived)
        sent = {artifact.path: artifact.size or 0 for artifact in upload.artifacts if not artifact.reused_from}
        if sent:
            self._progress.begin(Step.UPLOADING, sent)
        for path_of_file in sent:
            self._progress.advance(path_of_file, arrived[path_of_file])
        complete = partial(self._transport.change, VersionResponse, "POST", *path, "complete")
        for _ in range(MAX_COMPLETE_ATTEMPTS - 1):
            await uploader.send(upload)
            with suppress(UploadIncompleteError):
                return await complete()
            upload = await self._transport.get(UploadResponse, *path, "upload")
        await uploader.send(upload)
        return await complete()

    def _say_what_is_there(self, upload: UploadResponse, arrived: Mapping[str, int]) -> None:
        """Tell what need not be sent, because an earlier version holds it or an interrupted call has sent it."""
        if reused := [artifact.reused_from for artifact in upload.artifacts if artifact.reused_from]:
            versions = " and ".join(f"v{number}" for number in sorted(set(reused)))
            are_those = "is that" if len(reused) == 1 else "are those"
            self._progress.remark(f"{len(reused)} of {format_count(len(arrived), 'file')} {are_those} of {versions}.")
        sent = {artifact.path: artifact.size or 0 for artifact in upload.artifacts if not artifact.reused_from}
        if upload.expires_at and any(arrived[path] for path in sent):
            share = format_share(sum(arrived[path] for path in sent), sum(sent.values()))
            self._progress.remark(f"Resuming v{upload.version}: {share} are there.")

    async def _match_part_sizes(
        self, upload: UploadResponse, hashed: dict[str, HashedFile], transfers: TransferPool
    ) -> None:
        """Hash again each file that the registry cuts into parts of another size. Raises `NotARegistryError`."""
        if sorted(artifact.path for artifact in upload.artifacts) != sorted(hashed):
            raise NotARegistryError(self._transport.url, "its upload is of other files than those that were declared")
        for artifact in upload.artifacts:
            known = hashed[artifact.path]
            size = artifact.multipart.part_size if artifact.multipart else known.part_size
            if size != known.part_size:
                if not 1 <= size <= MAX_PART_SIZE:
                    raise NotARegistryError(self._transport.url, f"it wants parts of {size} bytes")
                hashed[artifact.path] = await transfers.in_thread(
                    hash_file, known.file, transfers.hash_executor, lambda _: None, part_size=size
                )


def _check_counts(source: Path, tree: LocalTree) -> None:
    if len(tree.files) > MAX_ARTIFACTS:
        raise TooManyArtifactsError(count=len(tree.files), limit=MAX_ARTIFACTS)
    if len(tree.empty_folders) > MAX_EMPTY_FOLDERS:
        limit = f"{MAX_EMPTY_FOLDERS:,}"
        raise LocalFileError(
            source, f"has {len(tree.empty_folders):,} empty folders; at most {limit} are registered, more with --zip."
        )


def _declared(hashed: HashedFile) -> dict[str, Any]:
    """A file as the body declares it; what an earlier release of the service does not know is named only if needed."""
    file = hashed.file
    declared = {"path": file.path, "size": file.size, "sha256": hashed.sha256}
    return {**declared, "executable": True} if file.executable else declared


def _key_of(key: str | None, beginning: int) -> str | None:
    """The Idempotency-Key of the first or a later beginning, so that a repeat of the whole finds each of them again."""
    return key if key is None or beginning == 1 else _derived(key, beginning)


def _derived(*identity: object) -> str:
    return hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()


def _arrived_bytes(artifact: UploadArtifactResponse, hashed: HashedFile) -> int:
    """How many bytes of a file an earlier attempt has sent."""
    if artifact.state == "arrived":
        return hashed.file.size
    done = artifact.multipart.parts_done if artifact.multipart else []
    return sum(min(hashed.part_size, hashed.file.size - (number - 1) * hashed.part_size) for number in done)
