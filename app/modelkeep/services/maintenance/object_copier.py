"""Moves bytes between two stores: each object once, held against its digest on the way."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit.digests import sha256_of_blocks
from modelkeep.kit.text import format_count, format_size
from modelkeep.storage.objects import ObjectGoneError, ObjectStore, StoredObject

COPIES_AT_ONCE: Final = 4
"""Streams that run side by side: enough to fill a line, few enough for a small machine's disk and memory."""


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """An artifact of the source, and what the destination's table says of the same key, if anything."""

    artifact: Artifact
    known: Artifact | None


@dataclass(frozen=True, slots=True)
class CopyFailure:
    """Why an object cannot be moved, to be read after its name."""

    reason: str


class UncopyableError(Exception):
    """The object cannot be moved; the argument says why."""


class ObjectCopier:
    """Places objects at the destination, and counts what it copied. A dry run counts what it would copy."""

    def __init__(self, source: ObjectStore, destination: ObjectStore, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._dry_run = dry_run
        self._lanes = asyncio.Semaphore(COPIES_AT_ONCE)
        self.objects = 0
        self.bytes = 0

    async def place(self, wanted: CopyRequest) -> Artifact | CopyFailure:
        """The artifact as it lies at the destination from now on, size and digest known; or why it cannot.

        Nothing there is ever replaced. What is there already is taken for the same if its size is the same and so is
        its SHA-256: by the store's own word; else (S3 keeps only a checksum of checksums for what went up in parts) by
        the word of the destination's table, which is only written after the bytes were held against their digest; and
        else, after a run that ended between the two, by reading it once.
        """
        try:
            self._destination.uri(wanted.artifact.key)
        except ValueError as error:
            return CopyFailure(f"cannot have its key at the destination: {error}")
        try:
            return await self._settled(wanted) or await self._placed(wanted.artifact)
        except UncopyableError as unfit:
            return CopyFailure(str(unfit))

    async def _settled(self, wanted: CopyRequest) -> Artifact | None:
        """What an earlier run has brought, and noted in the table."""
        artifact, known = wanted.artifact, wanted.known
        if known is None or known.sha256 is None:
            return None
        if artifact.sha256 is None and not _agrees(await self._look(artifact), known):
            return None
        if artifact.sha256 not in (None, known.sha256):
            return None
        if not _agrees(await self._destination.stat(known.key, version_id=known.version_id), known):
            return None
        return replace(artifact, size=known.size, sha256=known.sha256, version_id=known.version_id)

    async def _placed(self, artifact: Artifact) -> Artifact:
        found = await self._destination.stat(artifact.key)
        if self._dry_run:
            if found is None:
                self._count((await self._look(artifact)).size)
            return artifact
        identified = await self._identified(artifact)
        if found is None:
            async with self._lanes:
                copied = await self._copy(identified)
            found = await self._destination.stat(artifact.key)
            if copied and found:
                self._count(found.size)
                return replace(identified, version_id=found.version_id)
        if found is None or not await self._holds(found, identified):
            raise UncopyableError(f"cannot be stored: other bytes lie at {artifact.key} at the destination")
        return replace(identified, version_id=found.version_id)

    async def _copy(self, artifact: Artifact) -> bool:
        """Whether the bytes were stored; if not, something is there."""
        assert artifact.size is not None and artifact.sha256 is not None  # noqa: S101, PT018 -- identified before
        try:
            async with aclosing(self._source.read(artifact.key, version_id=artifact.version_id)) as blocks:
                await self._destination.put(artifact.key, blocks, size=artifact.size, sha256=artifact.sha256)
        except ObjectGoneError:
            raise UncopyableError("has no bytes at the source") from None
        except BodyMismatchError:
            raise UncopyableError(
                f"is damaged: its bytes at the source do not have SHA-256 {artifact.sha256}"
            ) from None
        except ObjectExistsError:
            return False
        return True

    async def _identified(self, artifact: Artifact) -> Artifact:
        """The artifact with size and digest: adopted from the public recipe, it may never have been read."""
        if artifact.sha256 is not None:
            return artifact
        stored = await self._look(artifact)
        digest = stored.sha256 or await _digest(self._source, artifact.key, artifact.version_id)
        return replace(artifact, size=stored.size, sha256=digest)

    async def _look(self, artifact: Artifact) -> StoredObject:
        stored = await self._source.stat(artifact.key, version_id=artifact.version_id)
        if stored is None:
            raise UncopyableError("has no bytes at the source")
        return stored

    async def _holds(self, found: StoredObject, artifact: Artifact) -> bool:
        if found.size != artifact.size:
            return False
        digest = found.sha256 or await _digest(self._destination, found.key, found.version_id)
        return digest == artifact.sha256

    def _count(self, size: int) -> None:
        self.objects += 1
        self.bytes += size


def _agrees(found: StoredObject | None, known: Artifact) -> bool:
    return found is not None and found.size == known.size and found.sha256 in (None, known.sha256)


async def _digest(store: ObjectStore, key: str, version_id: str | None) -> Digest:
    try:
        async with aclosing(store.read(key, version_id=version_id)) as blocks:
            sha256, _ = await sha256_of_blocks(blocks)
    except ObjectGoneError:
        raise UncopyableError("vanished while it was read") from None
    return Digest(sha256)


def told(objects: int, size: int, *, dry_run: bool) -> str:
    """How much was copied, for people."""
    copied = f"{format_count(objects, 'object')} {'to copy' if dry_run else 'copied'}"
    return f"{copied} ({format_size(size)})" if objects else copied
