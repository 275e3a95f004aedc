"""What a PUT URL of the local store allows, and its upload: stored whole and as declared, or not at all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.kit.durable_files import BLOCK, StagedFile
from modelkeep.storage.local.folder import Folder
from modelkeep.storage.local.folder_multiparts import Multiparts
from modelkeep.storage.local.threads import in_thread

MAX_WAITING_BYTES: Final = 2 * BLOCK
"""Bytes of all uploads together that may wait for the rest of a block of 1 MiB."""

MIN_BLOCK: Final = BLOCK // 16
"""Bytes that each upload may hold besides: each block is a call in a thread, which small ones are not worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """The bytes that a PUT URL allows: an object, or one part of a multipart object.

    `content_type` must be sent with the bytes, unless it is `None`: so it is for a part, and in the URLs of an earlier
    release, which are good until they expire.
    """

    key: str
    size: int
    sha256: Digest
    content_type: str | None = None
    multipart_id: str | None = None
    number: int = 0

    @property
    def parameters(self) -> Mapping[str, str]:
        """The signed query parameters."""
        part = {} if self.multipart_id is None else {"multipart": self.multipart_id, "part": str(self.number)}
        typed = {} if self.content_type is None else {"type": self.content_type}
        return {"size": str(self.size), "sha256": self.sha256.hex, **typed, **part}

    @classmethod
    def from_parameters(cls, key: str, parameters: Mapping[str, str]) -> Self:
        """The inverse of `parameters`."""
        return cls(
            key=key,
            size=int(parameters["size"]),
            sha256=Digest(parameters["sha256"]),
            content_type=parameters.get("type"),
            multipart_id=parameters.get("multipart"),
            number=int(parameters.get("part", "0")),
        )

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that a request with the URL must have, with S3's names."""
        whole = {"if-none-match": "*"} if self.multipart_id is None else {}
        typed = {} if self.content_type is None else {"content-type": self.content_type}
        length = {"content-length": str(self.size)}
        return {"x-amz-checksum-sha256": self.sha256.as_s3_checksum(), **length, **whole, **typed}


class PutReceiver:
    """Receives what callers PUT."""

    def __init__(self, folder: Folder, multiparts: Multiparts) -> None:
        self._folder = folder
        self._multiparts = multiparts
        self._waiting_bytes = 0

    async def receive(self, put: SignedPut, chunks: AsyncIterable[bytes]) -> None:
        """Store the declared bytes, or nothing.

        Raises `ObjectExistsError` and `MultipartGoneError`, before a byte is read if possible, and `BodyMismatchError`.
        """
        await in_thread(self._check_absent, put)
        async with self._staged_file() as staged:
            async with aclosing(self._blocks(chunks, limit=put.size)) as blocks:
                async for block in blocks:
                    await in_thread(staged.write, block)
                    del block
            await in_thread(self._publish, put, staged)

    async def _blocks(self, chunks: AsyncIterable[bytes], *, limit: int) -> AsyncGenerator[bytearray, None]:
        """Join chunks into blocks of about 1 MiB, or 64 KiB while much waits in other uploads.

        Raises `BodyMismatchError` for more than `limit` bytes.
        """
        block, total = bytearray(), 0
        try:
            async for chunk in chunks:
                total += len(chunk)
                if total > limit:
                    raise BodyMismatchError
                block += chunk
                self._waiting_bytes += len(chunk)
                del chunk
                if len(block) >= (BLOCK if self._waiting_bytes <= MAX_WAITING_BYTES else MIN_BLOCK):
                    yield block
                    self._waiting_bytes -= len(block)
                    block = bytearray()
            yield block
        finally:
            self._waiting_bytes -= len(block)

    @asynccontextmanager
    async def _staged_file(self) -> AsyncIterator[StagedFile]:
        staged = await in_thread(StagedFile, self._folder.incoming)
        try:
            yield staged
        finally:
            await asyncio.shield(in_thread(staged.discard))

    def _check_absent(self, put: SignedPut) -> None:
        if put.multipart_id is not None:
            self._multiparts.check(put.key, put.multipart_id)
        elif self._folder.is_taken(put.key):
            raise ObjectExistsError

    def _publish(self, put: SignedPut, staged: StagedFile) -> None:
        if (staged.size, staged.sha256) != (put.size, put.sha256.hex):
            raise BodyMismatchError
        staged.finish()
        if put.multipart_id is None:
            self._folder.publish(put.key, staged)
        else:
            self._multiparts.add(put.key, put.multipart_id, put.number, staged)
