"""The S3 client, the endpoint at which callers reach the bucket, and the credentials that sign its URLs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from botocore.exceptions import NoCredentialsError, NoRegionError

from modelkeep.storage.aws.errors import FAILURES, Resource, explain
from modelkeep.storage.aws.partitions import is_s3_host
from modelkeep.storage.aws.presigning import BucketEndpoint, FrozenCredentials
from modelkeep.storage.aws.session import CONFIG, Session
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
"""SigV4 is explicit because botocore presigns with SigV2 in some regions; large objects take long to complete."""

MIN_URL_LIFETIME: Final = timedelta(seconds=120)
"""URLs of credentials that expire sooner are not handed out."""

_MARGIN: Final = timedelta(seconds=60)
_NOT_RENEWED: Final = "The AWS credentials are about to expire and were not renewed. Check the role in use."
_ANONYMOUS: Final = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nobody"}
_DIRECTORY_BUCKET: Final = "--x-s3"
_NO_VERSIONS: Final = "A directory bucket keeps no versions of its objects. Use a general purpose bucket."


class Credentials(Protocol):
    """botocore's credentials; those that expire also have `_expiry_time`, a private attribute (botocore 1.40)."""

    async def get_frozen_credentials(self) -> Any:
        """The credentials as they are now, after a renewal if they expire soon."""
        ...


@contextmanager
def translate_errors(resource: Resource) -> Iterator[None]:
    """Convert every failure of botocore to `StoreUnavailableError`, with a message for an operator."""
    try:
        yield
    except (*FAILURES, ValueError) as error:
        raise StoreUnavailableError(explain(error, resource)) from error


@asynccontextmanager
async def open_client(
    session: Session, bucket: Resource, *, public_url: str | None = None, endpoint_url: str | None = None
) -> "AsyncIterator[tuple[S3Client, BucketEndpoint]]":
    """Open the client, and return it with the endpoint at which callers reach the bucket: `public_url`, if given.

    Raises `StoreUnavailableError` if AWS is not configured.
    """
    if bucket.name.endswith(_DIRECTORY_BUCKET):
        raise StoreUnavailableError(_NO_VERSIONS)
    with translate_errors(bucket):
        endpoint = endpoint_url or await _endpoint(session)
        public = await _public_endpoint(session, bucket.name, public_url or endpoint, public_url or endpoint_url)
        opening = _client(session, endpoint, endpoint_url)
    async with opening as client:
        yield client, public


async def _endpoint(session: Session) -> str:
    if session.region_name is None:
        raise NoRegionError
    async with session.client("s3", config=S3_CONFIG) as client:
        return client.meta.endpoint_url


async def _public_endpoint(session: Session, bucket: str, endpoint: str, endpoint_url: str | None) -> BucketEndpoint:
    """Read from a URL that botocore signs with dummy credentials, so that its rules for hosts and regions apply."""
    async with _client(session, endpoint, endpoint_url, **_ANONYMOUS) as client:
        signed = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    return BucketEndpoint.of(signed, "key")


def _client(session: Session, endpoint: str, endpoint_url: str | None, **credentials: str) -> Any:
    options = {"addressing_style": addressing_style(endpoint), "us_east_1_regional_endpoint": "regional"}
    config = S3_CONFIG.merge(AioConfig(s3=options))
    return session.client("s3", config=config, endpoint_url=endpoint_url, **credentials)  # type: ignore[call-overload]


def addressing_style(endpoint: str) -> str:
    """The bucket is in the host on AWS, and in the path elsewhere, because other servers have one host."""
    return "virtual" if is_s3_host(urlsplit(endpoint).hostname or "") else "path"


async def find_credentials(session: Session, bucket: Resource) -> Credentials:
    """The credentials that sign, which renew themselves. Raises `StoreUnavailableError` if there are none."""
    with translate_errors(bucket):
        found = await cast("Any", session.get_credentials())
        if found is None:
            raise NoCredentialsError
    return cast("Credentials", found)


async def signing_credentials(credentials: Credentials, ttl: timedelta) -> tuple[FrozenCredentials, timedelta]:
    """The credentials to sign a URL with now, and its lifetime: `ttl`, or less if they expire before.

    S3 rejects a URL once the credentials that signed it have expired. Raises `StoreUnavailableError` if they expire
    soon and cannot be renewed.
    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
    """
    frozen = await _renew(credentials)
    expires_at: datetime | None = getattr(credentials, "_expiry_time", None)
    if expires_at is None:
        return frozen, ttl
    left = expires_at - datetime.now(UTC) - _MARGIN
    if left < min(ttl, MIN_URL_LIFETIME):
        raise StoreUnavailableError(_NOT_RENEWED)
    return frozen, min(ttl, left)


async def _renew(credentials: Credentials) -> FrozenCredentials:
    try:
        frozen = await credentials.get_frozen_credentials()
    except (*FAILURES, RuntimeError) as error:
        # botocore raises RuntimeError for a source that returns expired credentials.
        raise StoreUnavailableError(_NOT_RENEWED) from error
    return FrozenCredentials(frozen.access_key, frozen.secret_key, frozen.token)
