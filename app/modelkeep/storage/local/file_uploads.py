"""What a PUT URL of the local store admits, and how it is taken in: whole and as declared, or not at all."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit.durable_files import BLOCK, StagedFile
from modelkeep.storage.local.folder import Folder
from modelkeep.storage.local.folder_multiparts import Multiparts
from modelkeep.storage.local.threads import in_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """The bytes that a PUT URL admits: an object, or one part of a multipart object."""

    key: str
    size: int
    sha256: Digest
    multipart_id: str | None = None
    number: int = 0

    @property
    def parameters(self) -> Mapping[str, str]:
        """The query parameters that are signed."""
        part = {} if self.multipart_id is None else {"multipart": self.multipart_id, "part": str(self.number)}
        return {"size": str(self.size), "sha256": self.sha256.hex, **part}

    @classmethod
    def read(cls, key: str, parameters: Mapping[str, str]) -> Self:
        """Read back what was signed."""
        return cls(
            key=key,
            size=int(parameters["size"]),
            sha256=Digest(parameters["sha256"]),
            multipart_id=parameters.get("multipart"),
            number=int(parameters.get("part", "0")),
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that belong to the URL, named as S3 names them."""
        condition = {"if-none-match": "*"} if self.multipart_id is None else {}
        return {"x-amz-checksum-sha256": self.sha256.as_s3_checksum(), **condition, "content-length": str(self.size)}


class Uploads:
    """Takes in what callers send."""

    def __init__(self, folder: Folder, multiparts: Multiparts) -> None:
        self._folder = folder
        self._multiparts = multiparts

    async def receive(self, delivery: SignedPut, chunks: AsyncIterable[bytes]) -> None:
        """Store what was declared, or nothing.

        Raises `ObjectExistsError` and `MultipartGone`, if possible before a byte is read, and `BodyMismatchError`.
        """
        await in_thread(self._check_room, delivery)
        async with self._drafting() as draft:
            async for block in _rechunked(chunks, limit=delivery.size):
                await in_thread(draft.write, block)
            await in_thread(self._keep, delivery, draft)

    @asynccontextmanager
    async def _drafting(self) -> AsyncIterator[StagedFile]:
        draft = await in_thread(StagedFile, self._folder.incoming)
        try:
            yield draft
        finally:
            await asyncio.shield(in_thread(draft.discard))

    def _check_room(self, delivery: SignedPut) -> None:
        if delivery.multipart_id is not None:
            self._multiparts.check(delivery.key, delivery.multipart_id)
        elif self._folder.is_taken(delivery.key):
            raise ObjectExistsError

    def _keep(self, delivery: SignedPut, draft: StagedFile) -> None:
        if (draft.size, draft.sha256) != (delivery.size, delivery.sha256.hex):
            raise BodyMismatchError
        draft.finish()
        if delivery.multipart_id is None:
            self._folder.publish(delivery.key, draft)
        else:
            self._multiparts.add(delivery.key, delivery.multipart_id, delivery.number, draft)


async def _rechunked(chunks: AsyncIterable[bytes], *, limit: int) -> AsyncIterator[bytearray]:
    """Join small chunks into blocks of about 1 MiB. Raises `BodyMismatchError` once there are too many bytes."""
    block, total = bytearray(), 0
    async for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise BodyMismatchError
        block += chunk
        if len(block) >= BLOCK:
            yield block
            block = bytearray()
    yield block
