"""The S3 client, the place where callers find the bucket, and the credentials that sign for it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import NoCredentialsError, NoRegionError

from modelkeep.storage.aws.errors import CONFIG, FAILURES, Resource, explain
from modelkeep.storage.aws.presigning import BucketEndpoint, FrozenCredentials
from modelkeep.storage.objects import StoreUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

S3_CONFIG: Final = CONFIG.merge(
    AioConfig(
        signature_version="s3v4",
        read_timeout=20,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
)
"""SigV4 by name: botocore presigns with SigV2 in some regions otherwise. Large objects take long to complete."""

SHORTEST_LIFE: Final = timedelta(seconds=120)
_MARGIN: Final = timedelta(seconds=60)
_NOT_RENEWED: Final = "The AWS credentials are about to expire and were not renewed. Check the role in use."
_ANONYMOUS: Final = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody"}
_DIRECTORY_BUCKET: Final = "--x-s3"
_NO_VERSIONS: Final = "A directory bucket keeps no versions of its objects. Use a general purpose bucket."
_AWS_HOST: Final = re.compile(r"s3([.-].*)?\.amazonaws\.com(\.cn)?\Z")


class Credentials(Protocol):
    """What botocore's credentials can do; those that expire also have `_expiry_time`."""

    async def get_frozen_credentials(self) -> Any:
        """Renew the credentials if they are close to their end."""
        ...


@contextmanager
def translate_errors(resource: Resource) -> Iterator[None]:
    """Turn every failure of botocore into `StoreUnavailableError`, with a sentence for an operator."""
    try:
        yield
    except (*FAILURES, ValueError) as error:
        raise StoreUnavailableError(explain(error, resource)) from error


@asynccontextmanager
async def open_client(
    session: aioboto3.Session, bucket: Resource, *, public_url: str | None = None, endpoint_url: str | None = None
) -> "AsyncIterator[tuple[S3Client, BucketEndpoint]]":
    """Open the client that talks, and find where callers reach the bucket: at `public_url`, if that is another.

    Raises `StoreUnavailableError` where AWS is not configured.
    """
    if bucket.name.endswith(_DIRECTORY_BUCKET):
        raise StoreUnavailableError(_NO_VERSIONS)
    with translate_errors(bucket):
        endpoint = endpoint_url or await _endpoint(session)
        place = await _place(session, bucket.name, public_url or endpoint, public_url or endpoint_url)
        talking = _client(session, endpoint, endpoint_url)
    async with talking as client:
        yield client, place


async def _endpoint(session: aioboto3.Session) -> str:
    if session.region_name is None:
        raise NoRegionError
    async with session.client("s3", config=S3_CONFIG) as client:
        return client.meta.endpoint_url


async def _place(session: aioboto3.Session, bucket: str, seen_as: str, endpoint_url: str | None) -> BucketEndpoint:
    """Read it from a URL that botocore signs, as nobody: so its rules for hosts and regions hold here as well."""
    async with _client(session, seen_as, endpoint_url, **_ANONYMOUS) as client:
        signed = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    return BucketEndpoint.of(signed, "key")


def _client(session: aioboto3.Session, seen_as: str, endpoint_url: str | None, **credentials: str) -> Any:
    options = {"addressing_style": addressing_style(seen_as), "us_east_1_regional_endpoint": "regional"}
    config = S3_CONFIG.merge(AioConfig(s3=options))
    return session.client("s3", config=config, endpoint_url=endpoint_url, **credentials)  # type: ignore[call-overload]


def addressing_style(endpoint: str) -> str:
    """Name the bucket in the host on AWS, and in the path elsewhere: other servers have one host."""
    return "virtual" if _AWS_HOST.match(urlsplit(endpoint).hostname or "") else "path"


async def find_credentials(session: aioboto3.Session, bucket: Resource) -> Credentials:
    """Return the credentials that sign; they renew themselves. Raises `StoreUnavailableError` if there are none."""
    with translate_errors(bucket):
        found = await cast("Any", session.get_credentials())
        if found is None:
            raise NoCredentialsError
    return cast("Credentials", found)


async def signing_credentials(credentials: Credentials, asked: timedelta) -> tuple[FrozenCredentials, timedelta]:
    """Return what signs a URL now, and how long the URL will live: it dies with the credentials that signed it.

    Raises `StoreUnavailableError` if the credentials are about to expire and cannot be renewed.
    """
    frozen = await _renew(credentials)
    expires_at: datetime | None = getattr(credentials, "_expiry_time", None)
    if expires_at is None:
        return frozen, asked
    left = expires_at - datetime.now(UTC) - _MARGIN
    if left < min(asked, SHORTEST_LIFE):
        raise StoreUnavailableError(_NOT_RENEWED)
    return frozen, min(asked, left)


async def _renew(credentials: Credentials) -> FrozenCredentials:
    try:
        frozen = await credentials.get_frozen_credentials()
    except (*FAILURES, RuntimeError) as error:
        # RuntimeError is botocore's answer to a source that hands out expired credentials.
        raise StoreUnavailableError(_NOT_RENEWED) from error
    return FrozenCredentials(frozen.access_key, frozen.secret_key, frozen.token)
