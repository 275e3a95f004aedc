"""Checks that a bucket keeps the two promises that the registry relies on: no overwrite, no wrong bytes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from botocore.exceptions import ClientError

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.storage.aws.errors import Resource, status_of
from modelkeep.storage.aws.s3_clients import translate_errors
from modelkeep.storage.objects import StoreUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_OTHER_BYTES: Final = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""The SHA-256 of the empty text."""

_BAD_REQUEST: Final = 400
_PRECONDITION_FAILED: Final = 412


async def probe_bucket(client: "S3Client", bucket: str) -> str:
    """Try, under a key of its own, to replace stored bytes and to store wrong bytes.

    Returns a sentence if both were rejected. Raises `StoreUnavailableError` if either was not, or if the store cannot
    be used at all.
    """
    with translate_errors(Resource("bucket", bucket, client.meta.region_name, client.meta.endpoint_url)):
        async with scratch(client, bucket) as key:
            await _check_conditions(client, bucket, key)
        async with scratch(client, bucket) as key:
            await _check_checksums(client, bucket, key)
    return "The store refuses to overwrite (If-None-Match), and refuses bytes with another checksum."


async def _check_conditions(client: "S3Client", bucket: str, key: str) -> None:
    await client.put_object(Bucket=bucket, Key=key, Body=b"1", IfNoneMatch="*")
    status = await _status_of_put(client, bucket, key, IfNoneMatch="*")
    if status != _PRECONDITION_FAILED:
        raise StoreUnavailableError(
            "This store lets a second PUT with If-None-Match replace an object. Use another store."
        )


async def _check_checksums(client: "S3Client", bucket: str, key: str) -> None:
    status = await _status_of_put(client, bucket, key, ChecksumSHA256=_OTHER_BYTES)
    if status != _BAD_REQUEST:
        raise StoreUnavailableError("This store takes bytes that do not have the declared SHA-256. Use another store.")


async def _status_of_put(client: "S3Client", bucket: str, key: str, **conditions: Any) -> int:
    try:
        await client.put_object(Bucket=bucket, Key=key, Body=b"2", **conditions)
    except ClientError as error:
        if status_of(error) not in {_BAD_REQUEST, _PRECONDITION_FAILED}:
            raise
        return status_of(error)
    return 200


@asynccontextmanager
async def scratch(client: "S3Client", bucket: str) -> AsyncIterator[str]:
    """A key for one object, of which nothing is left at the end of the block."""
    key = f"{KEY_PREFIX}$probe/{uuid4().hex}"
    try:
        yield key
    finally:
        await _remove_all_versions(client, bucket, key)


async def _remove_all_versions(client: "S3Client", bucket: str, key: str) -> None:
    answer = await client.list_object_versions(Bucket=bucket, Prefix=key)
    for version in answer.get("Versions", []):
        await client.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
