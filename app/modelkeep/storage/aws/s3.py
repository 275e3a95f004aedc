"""The `ObjectStore` on S3: one bucket, versioned, with a SHA-256 checksum of every object.

No object is overwritten: every PUT and CompleteMultipartUpload has `If-None-Match: *`.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.storage.aws import s3_answers
from modelkeep.storage.aws.errors import Resource
from modelkeep.storage.aws.presigning import Presigner
from modelkeep.storage.aws.s3_clients import (
    Credentials,
    find_credentials,
    open_client,
    signing_credentials,
    translate_errors,
)
from modelkeep.storage.aws.s3_refusals import translate_absence, translate_multipart_errors
from modelkeep.storage.aws.s3_writes import StreamingPut
from modelkeep.storage.aws.session import Session
from modelkeep.storage.objects import (
    OCTET_STREAM,
    MultipartGoneError,
    ObjectGoneError,
    ObjectVersion,
    OpenMultipart,
    StoredObject,
    StoredPart,
    attachment,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

_BLOCK: Final = 1024 * 1024


class S3Store:
    """Objects in one bucket."""

    def __init__(self, client: "S3Client", presigner: Presigner, credentials: Credentials, bucket: str) -> None:
        self._client = client
        self._presigner = presigner
        self._credentials = credentials
        self._bucket = bucket
        self._resource = Resource("bucket", bucket, client.meta.region_name, client.meta.endpoint_url)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, session: Session, bucket: str, *, public_url: str | None, endpoint_url: str | None = None
    ) -> AsyncIterator[Self]:
        """Open a client for a bucket, which need not exist yet. `public_url` is where callers reach S3, if elsewhere.

        Raises `StoreUnavailableError` if AWS is not configured.
        """
        resource = Resource("bucket", bucket, session.region_name)
        credentials = await find_credentials(session, resource)
        opening = open_client(session, resource, public_url=public_url, endpoint_url=endpoint_url)
        async with opening as (client, endpoint):
            yield cls(client, Presigner(endpoint), credentials, bucket)

    async def reach(self) -> None:
        """Returns if the bucket can be used. Raises `StoreUnavailableError` otherwise."""
        with translate_errors(self._resource):
            await self._client.head_bucket(Bucket=self._bucket)

    def uri(self, key: str) -> str:
        """The address `s3://bucket/key`."""
        return f"s3://{self._bucket}/{key}"

    def key_of(self, uri: str) -> str | None:
        """The key of an address in this bucket; `None` for any other address."""
        prefix = self.uri("")
        return uri.removeprefix(prefix) or None if uri.startswith(prefix) else None

    async def presign_put(self, key: str, *, size: int, sha256: Digest, ttl: timedelta) -> PresignedUrl:
        """A URL for one PUT of exactly these bytes, at a key that has no object yet."""
        headers = {
            "x-amz-checksum-sha256": sha256.as_s3_checksum(),
            "if-none-match": "*",
            "content-length": str(size),
            "content-type": OCTET_STREAM,
        }
        return await self._presign("PUT", key, {}, headers, ttl)

    async def presign_part(
        self, key: str, multipart_id: str, number: int, *, size: int, sha256: Digest, ttl: timedelta
    ) -> PresignedUrl:
        """A URL for PUTs of exactly these bytes as one part."""
        query = {"uploadId": multipart_id, "partNumber": str(number)}
        headers = {"x-amz-checksum-sha256": sha256.as_s3_checksum(), "content-length": str(size)}
        return await self._presign("PUT", key, query, headers, ttl)

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        """A URL for GET, with or without `Range`; a browser saves the bytes as `filename`."""
        query = {
            "response-content-disposition": attachment(filename),
            "response-content-type": OCTET_STREAM,
            **({} if version_id is None else {"versionId": version_id}),
        }
        return await self._presign("GET", key, query, {}, ttl)

    async def _presign(
        self,
        method: Literal["GET", "PUT"],
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        ttl: timedelta,
    ) -> PresignedUrl:
        credentials, lifetime = await signing_credentials(self._credentials, ttl)
        seconds = int(lifetime.total_seconds())
        now = datetime.now(UTC).replace(microsecond=0)
        url = self._presigner.presign(credentials, method, key, query=query, headers=headers, seconds=seconds, now=now)
        return PresignedUrl(method=method, url=url, headers=headers, expires_at=now + timedelta(seconds=seconds))

    async def stat(self, key: str, *, version_id: str | None = None) -> StoredObject | None:
        """The size, digest and version of an object; `None` if there is none."""
        try:
            with translate_absence(self._resource):
                answer = await self._client.head_object(
                    Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **_version(version_id)
                )
        except ObjectGoneError:
            return None
        return s3_answers.described(key, answer)

    async def begin(self, key: str) -> str:
        """Open a multipart object whose parts carry SHA-256 checksums, and return its id."""
        with translate_errors(self._resource):
            answer = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256"
            )
        return answer["UploadId"]

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that were uploaded, by number. Raises `MultipartGoneError`."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=multipart_id)
        with translate_multipart_errors(self._resource):
            return [s3_answers.part(entry) async for page in pages for entry in page.get("Parts", [])]

    async def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Create the object from exactly these parts, at a key that has no object yet.

        Raises `MultipartGoneError` and `MultipartRefusedError`; a repeat after success may raise either.
        """
        with translate_multipart_errors(self._resource):
            await self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=multipart_id,
                MultipartUpload={"Parts": [_completed(part) for part in parts]},
                MpuObjectSize=sum(part.size for part in parts),
                IfNoneMatch="*",
            )

    async def abort(self, key: str, multipart_id: str) -> None:
        """Remove a multipart object and its parts. Does nothing if there is none."""
        with suppress(MultipartGoneError), translate_multipart_errors(self._resource):
            await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart_id)

    async def delete(self, key: str, *, version_id: str | None = None) -> None:
        """Remove one version of an object for good, or a marker: the current version, unless one is named.

        Without an id, S3 would only put a delete marker above the bytes.
        """
        if version_id is None:
            if (current := await self.stat(key)) is None:
                return
            version_id = current.version_id
        with suppress(ObjectGoneError), translate_absence(self._resource):
            await self._client.delete_object(Bucket=self._bucket, Key=key, **_version(version_id))

    async def put(self, key: str, blocks: AsyncIterable[bytes], *, size: int, sha256: Digest) -> None:
        """Store exactly these bytes or nothing; see `StreamingPut`. Raises `BodyMismatchError`, `ObjectExistsError`.

        S3 verifies the SHA-256 of the whole, or of each part; parts become an object only if the whole is right.
        """
        await StreamingPut(self._client, key, self._resource, size=size, sha256=sha256).write(blocks)

    async def read(self, key: str, *, version_id: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read a whole object in blocks of at most 1 MiB. Raises `ObjectGoneError`."""
        with translate_absence(self._resource):
            answer = await self._client.get_object(Bucket=self._bucket, Key=key, **_version(version_id))
            async with answer["Body"]:
                async for block in answer["Body"].iter_chunks(_BLOCK):
                    yield block

    async def has_objects(self, prefix: str) -> bool:
        """Whether there is an object whose key starts with `prefix`."""
        with translate_errors(self._resource):
            answer = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        return bool(answer.get("Contents"))

    async def list_objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object whose key starts with `prefix`; S3 lists them without digests."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translate_errors(self._resource):
            async for page in pages:
                for entry in page.get("Contents", []):
                    yield s3_answers.listed(entry)

    async def list_versions(self, prefix: str) -> AsyncIterator[ObjectVersion]:
        """Every version of every object whose key starts with `prefix`, and every delete marker."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        with translate_errors(self._resource):
            async for page in pages:
                for version in s3_answers.versions(page):
                    yield version

    async def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Every open multipart object whose key starts with `prefix`."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        with translate_errors(self._resource):
            async for page in pages:
                for entry in page.get("Uploads", []):
                    yield s3_answers.open_multipart(entry)


def _version(version_id: str | None) -> Mapping[str, Any]:
    return {} if version_id is None else {"VersionId": version_id}


def _completed(part: StoredPart) -> "CompletedPartTypeDef":
    completed: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": part.etag}
    if part.sha256 is not None:
        completed["ChecksumSHA256"] = part.sha256.as_s3_checksum()
    return completed
