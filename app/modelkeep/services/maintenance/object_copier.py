"""Copies objects between two stores: each once, compared with its digest on the way."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit.digests import sha256_of_blocks
from modelkeep.services.maintenance.findings import CopyProblem
from modelkeep.storage.objects import ObjectGoneError, ObjectStore, StoredObject

COPIES_AT_ONCE: Final = 4
"""Enough streams to fill a line, few enough for a small machine's disk and memory."""


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """An artifact of the source, and the one that the destination's table has for the same key, if any."""

    artifact: Artifact
    recorded: Artifact | None


class UncopyableError(Exception):
    """The object cannot be copied."""

    def __init__(self, problem: CopyProblem) -> None:
        super().__init__(problem)
        self.problem = problem


class ObjectCopier:
    """Copies objects to the destination, and counts what it copied. A dry run counts what it would copy."""

    def __init__(self, source: ObjectStore, destination: ObjectStore, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._dry_run = dry_run
        self._semaphore = asyncio.Semaphore(COPIES_AT_ONCE)
        self.objects = 0
        self.bytes = 0

    async def copy(self, request: CopyRequest) -> Artifact | CopyProblem:
        """The artifact as it is at the destination from now on, size and digest known; or why it cannot be there.

        Nothing there is ever replaced. An object that is there already counts as the same if its size and its SHA-256
        are the same. The SHA-256 is the store's own; else (S3 keeps only a checksum of checksums for what was uploaded
        in parts) that of the destination's table, which is written only after the bytes were compared with it; else,
        after a run that ended between the two, the object is read once.
        """
        try:
            self._destination.uri(request.artifact.key)
        except ValueError:
            return CopyProblem.INVALID_KEY
        try:
            return await self._copied_before(request) or await self._copy(request.artifact)
        except UncopyableError as error:
            return error.problem

    async def _copied_before(self, request: CopyRequest) -> Artifact | None:
        """The artifact, if an earlier run has copied it and recorded that in the table."""
        artifact, recorded = request.artifact, request.recorded
        if recorded is None or recorded.sha256 is None:
            return None
        if artifact.sha256 is None and not _is_same(await self._source_object(artifact), recorded):
            return None
        if artifact.sha256 not in (None, recorded.sha256):
            return None
        if not _is_same(await self._destination.stat(recorded.key, version_id=recorded.version_id), recorded):
            return None
        return replace(
            artifact,
            size=recorded.size,
            sha256=recorded.sha256,
            version_id=recorded.version_id,
            parts_sha256=recorded.parts_sha256,
        )

    async def _copy(self, artifact: Artifact) -> Artifact:
        found = await self._destination.stat(artifact.key)
        if self._dry_run:
            if found is None:
                self._count((await self._source_object(artifact)).size)
            return artifact
        identified = await self._with_digest(artifact)
        if found is None:
            async with self._semaphore:
                copied = await self._transfer(identified)
            found = await self._destination.stat(artifact.key)
            if copied and found:
                self._count(found.size)
                return replace(identified, version_id=found.version_id, parts_sha256=found.parts_sha256)
        if found is None or not await self._holds(found, identified):
            raise UncopyableError(CopyProblem.OTHER_BYTES_AT_DESTINATION)
        return replace(identified, version_id=found.version_id, parts_sha256=found.parts_sha256)

    async def _transfer(self, artifact: Artifact) -> bool:
        """Send the bytes. False if there is an object under the key by now."""
        assert artifact.size is not None and artifact.sha256 is not None  # noqa: S101, PT018 -- see _with_digest
        try:
            async with aclosing(self._source.read(artifact.key, version_id=artifact.version_id)) as blocks:
                await self._destination.put(artifact.key, blocks, size=artifact.size, sha256=artifact.sha256)
        except ObjectGoneError:
            raise UncopyableError(CopyProblem.MISSING_AT_SOURCE) from None
        except BodyMismatchError:
            raise UncopyableError(CopyProblem.DAMAGED_AT_SOURCE) from None
        except ObjectExistsError:
            return False
        return True

    async def _with_digest(self, artifact: Artifact) -> Artifact:
        """The artifact with size and digest: adopted from the public recipe, it may never have been read."""
        if artifact.sha256 is not None:
            return artifact
        stored = await self._source_object(artifact)
        digest = stored.sha256 or await _digest(self._source, artifact.key, artifact.version_id)
        return replace(artifact, size=stored.size, sha256=digest)

    async def _source_object(self, artifact: Artifact) -> StoredObject:
        stored = await self._source.stat(artifact.key, version_id=artifact.version_id)
        if stored is None:
            raise UncopyableError(CopyProblem.MISSING_AT_SOURCE)
        return stored

    async def _holds(self, found: StoredObject, artifact: Artifact) -> bool:
        if found.size != artifact.size:
            return False
        digest = found.sha256 or await _digest(self._destination, found.key, found.version_id)
        return digest == artifact.sha256

    def _count(self, size: int) -> None:
        self.objects += 1
        self.bytes += size


def _is_same(found: StoredObject | None, recorded: Artifact) -> bool:
    return found is not None and found.size == recorded.size and found.sha256 in (None, recorded.sha256)


async def _digest(store: ObjectStore, key: str, version_id: str | None) -> Digest:
    try:
        async with aclosing(store.read(key, version_id=version_id)) as blocks:
            sha256, _ = await sha256_of_blocks(blocks)
    except ObjectGoneError:
        raise UncopyableError(CopyProblem.VANISHED) from None
    return Digest(sha256)
