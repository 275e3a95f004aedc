"""Writes an object from a stream: part by part through a temporary file, so that memory stays constant."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final, ParamSpec

from botocore.exceptions import ClientError

from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.domain.values import Digest
from modelkeep.storage.aws.errors import Resource, code_of
from modelkeep.storage.aws.s3_clients import translate_errors
from modelkeep.storage.objects import StoreUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

P = ParamSpec("P")

PART_SIZE: Final = 64 * 1024 * 1024
"""Larger objects are uploaded in parts of this size, or larger ones if there would be more than `MAX_PARTS`."""

MAX_PARTS: Final = 10_000
"""S3's limit. Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

_TAKEN: Final = frozenset({"ConditionalRequestConflict", "NoSuchUpload", "PreconditionFailed"})
"""Error codes of a key that has an object; a repeat after a lost reply gets them as well."""

_TEMPORARY_FILES_UNUSABLE: Final = (
    "Temporary files cannot be written. Set TMPDIR to a folder with room for some parts of large objects."
)


class _Spool:
    """A part in a temporary file, emptied for the next one."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def checksum(self) -> str:
        """The part's SHA-256 in base64, as S3 requires."""
        return Digest(self._hash.hexdigest()).as_s3_checksum()

    def append(self, block: memoryview) -> None:
        self.file.write(block)
        self._hash.update(block)
        self.size += len(block)

    def rewind(self) -> None:
        self.file.seek(0)

    def empty(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.size = 0
        self._hash = hashlib.sha256()


class StreamingPut:
    """Stores exactly the declared bytes, at a key that has no object yet, or nothing."""

    def __init__(self, client: "S3Client", key: str, resource: Resource, *, size: int, sha256: Digest) -> None:
        self._client = client
        self._key = key
        self._bucket = resource.name
        self._resource = resource
        self._size = size
        self._sha256 = sha256
        self._part_size = max(PART_SIZE, -(-size // MAX_PARTS))

    async def write(self, blocks: AsyncIterable[bytes]) -> None:
        """Write as one object or in parts. Raises `BodyMismatchError`, `ObjectExistsError`, `StoreUnavailableError`."""
        with _temporary_file() as file:
            async with aclosing(self._cut(blocks, _Spool(file))) as parts:
                if self._size <= self._part_size:
                    await self._write_whole(parts)
                else:
                    await self._write_parts(parts)

    async def _cut(self, blocks: AsyncIterable[bytes], spool: _Spool) -> AsyncGenerator[_Spool, None]:
        """The bytes in parts, each valid until the next; the last comes only if the whole is as declared."""
        whole, total = hashlib.sha256(), 0
        async for block in blocks:
            total += len(block)
            if total > self._size:
                raise BodyMismatchError
            whole.update(block)
            rest = memoryview(block)
            while rest:
                if spool.size == self._part_size:
                    await _on_disk(spool.rewind)
                    yield spool
                    await _on_disk(spool.empty)
                chunk = rest[: self._part_size - spool.size]
                await _on_disk(spool.append, chunk)
                rest = rest[len(chunk) :]
        if (total, whole.hexdigest()) != (self._size, self._sha256.hex):
            raise BodyMismatchError
        await _on_disk(spool.rewind)
        yield spool

    async def _write_whole(self, parts: AsyncGenerator[_Spool, None]) -> None:
        async for part in parts:
            with self._errors():
                await self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._key,
                    Body=part.file,
                    ContentLength=part.size,
                    ChecksumSHA256=part.checksum,
                    IfNoneMatch="*",
                )

    async def _write_parts(self, parts: AsyncGenerator[_Spool, None]) -> None:
        with self._errors():
            answer = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key, ChecksumAlgorithm="SHA256"
            )
        multipart_id = answer["UploadId"]
        try:
            uploaded = [await self._upload(multipart_id, number, part) async for number, part in _numbered(parts)]
            with self._errors():
                await self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=multipart_id,
                    MultipartUpload={"Parts": uploaded},
                    MpuObjectSize=self._size,
                    IfNoneMatch="*",
                )
        except BaseException:
            with suppress(ObjectExistsError, StoreUnavailableError), self._errors():
                await self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=multipart_id)
            raise

    async def _upload(self, multipart_id: str, number: int, part: _Spool) -> "CompletedPartTypeDef":
        with self._errors():
            answer = await self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=multipart_id,
                PartNumber=number,
                Body=part.file,
                ContentLength=part.size,
                ChecksumSHA256=part.checksum,
            )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": part.checksum}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with translate_errors(self._resource):
            try:
                yield
            except ClientError as error:
                if code_of(error) in _TAKEN:
                    raise ObjectExistsError from None
                raise


async def _numbered(parts: AsyncGenerator[_Spool, None]) -> AsyncGenerator[tuple[int, _Spool], None]:
    number = 0
    async for part in parts:
        number += 1
        yield number, part


@contextmanager
def _temporary_file() -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(TemporaryFile())
        except OSError as error:
            raise StoreUnavailableError(_TEMPORARY_FILES_UNUSABLE) from error
        yield file


async def _on_disk(operation: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        await asyncio.to_thread(operation, *args, **kwargs)
    except OSError as error:
        raise StoreUnavailableError(_TEMPORARY_FILES_UNUSABLE) from error
