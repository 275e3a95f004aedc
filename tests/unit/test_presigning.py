"""Our presigned URLs are botocore's, byte for byte, and AWS's own; `tests/contract` sends them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import aioboto3
import botocore.session
import pytest
from aiobotocore.config import AioConfig
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.storage.aws import s3
from modelkeep.storage.aws.presigning import BucketEndpoint, FrozenCredentials, Presigner
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.aws.s3_clients import S3_CONFIG, _client
from modelkeep.storage.objects import StoreUnavailableError

DIGEST = Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PUT = {
    "content-length": "7",
    "content-type": "application/octet-stream",
    "x-amz-checksum-sha256": DIGEST.as_s3_checksum(),
    "if-none-match": "*",
}


@pytest.fixture(scope="module", autouse=True)
def nothing_configured() -> Iterator[None]:
    """No variable or file of this machine says where S3 is or who asks."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/dev/null")
        yield


@contextmanager
def botocore_at(now: datetime) -> Iterator[None]:
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        yield


# -- against what AWS documents


def test_a_url_is_the_one_of_the_documentation() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html#query-string-auth-v4-signing-example"""
    presigner = Presigner(BucketEndpoint("https://examplebucket.s3.amazonaws.com/", "us-east-1"))
    credentials = FrozenCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    at = datetime(2013, 5, 24, tzinfo=UTC)
    url = presigner.presign(credentials, "GET", "test.txt", query={}, headers={}, seconds=86400, now=at)
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


# -- against botocore, over everything that a URL is made of

SITES = st.sampled_from(
    [
        (None, "us-east-1", "virtual"),
        (None, "eu-central-1", "path"),
        (None, "cn-north-1", "virtual"),
        (None, "aws-global", "virtual"),
        ("https://s3.amazonaws.com", "us-east-1", "virtual"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", "virtual"),
        ("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "us-east-1", "path"),
        ("https://S3.Example.com:443/", "eu-west-1", "path"),
        ("http://minio:80", "eu-west-1", "virtual"),
        ("http://minio:443/base/path", "eu-west-1", "virtual"),
        ("http://minio:9000/base path/é~+%20", "eu-west-1", "path"),
        ("http://minio:9000/base path/é~+%20", "eu-west-1", "virtual"),
        ("http://127.0.0.1:9000", "us-east-1", "path"),
        ("http://[::1]:9000/", "us-east-1", "path"),
        ("http://[::1]", "us-east-1", "path"),
        ("http://user:secret@minio:9000", "us-east-1", "path"),
    ]
)
BUCKETS = st.sampled_from(["my-models", "my.models", "My_Models", "192.168.0.1"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
WORDS = st.sampled_from([*" +=@~/.&?#%;:,'\"()*!$-_|é☃\\", "a/../b", "//", "%2F", "%20", "..", "model", "V1.pt"])
KEYS = st.lists(WORDS, min_size=1, max_size=12).map("".join) | TEXT
CREDENTIALS = st.builds(
    FrozenCredentials,
    st.sampled_from(["AKIDEXAMPLE", "minio admin+/é"]),
    st.sampled_from(["secret", "wJalrXUtnFEMI/K7MDENG+b="]) | TEXT,
    st.sampled_from([None, "", "IQoJb3JpZ2luX2VjE//a+b=="]) | TEXT,
)
DAYS = st.sampled_from([NOON, NOON + timedelta(hours=11, minutes=59, seconds=59), NOON + timedelta(hours=12)])
TIMES = DAYS | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
LIVES = st.integers(1, 604800)

# What botocore is asked, as what we are asked: an operation, its parameters, the query, the headers.
Asked = tuple[str, Mapping[str, Any], Mapping[str, str], Mapping[str, str]]


def a_put(size: int, checksum: str, condition: str) -> Asked:
    kind = "application/octet-stream"
    parameters = {"ContentLength": size, "ContentType": kind, "ChecksumSHA256": checksum, "IfNoneMatch": condition}
    headers = {
        "content-length": str(size),
        "content-type": kind,
        "x-amz-checksum-sha256": checksum,
        "if-none-match": condition,
    }
    return "put_object", parameters, {}, headers


def a_part(multipart_id: str, number: int, size: int, checksum: str) -> Asked:
    signed = {"ContentLength": size, "ChecksumSHA256": checksum}
    query = {"uploadId": multipart_id, "partNumber": str(number)}
    headers = {"content-length": str(size), "x-amz-checksum-sha256": checksum}
    return "upload_part", {"UploadId": multipart_id, "PartNumber": number, **signed}, query, headers


def a_get(disposition: str, kind: str, version_id: str | None) -> Asked:
    parameters = {"ResponseContentDisposition": disposition, "ResponseContentType": kind}
    query = {"response-content-disposition": disposition, "response-content-type": kind}
    if version_id is not None:
        return "get_object", {**parameters, "VersionId": version_id}, {**query, "versionId": version_id}, {}
    return "get_object", parameters, query, {}


CHECKSUMS = st.sampled_from([DIGEST.as_s3_checksum(), "  between   words\tand around "])
SIZES = st.integers(0, 5 * 1024**4)
ASKED = st.one_of(
    st.builds(a_put, SIZES, CHECKSUMS, st.just("*")),
    st.builds(a_part, KEYS, st.integers(1, 10_000), SIZES, CHECKSUMS),
    st.builds(a_get, KEYS, st.just("application/octet-stream") | KEYS, st.none() | KEYS),
)


@cache
def a_session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def at_site(endpoint: str | None, region: str, style: str) -> Any:
    """A client of botocore's own, as ours are configured."""
    return a_session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="nobody",
        aws_secret_access_key="nobody",
        config=S3_CONFIG.merge(AioConfig(s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"})),
    )


@cache
def presigner_of(client: Any, bucket: str) -> Presigner:
    """One for all examples, so that what it remembers of one must do no harm to the next."""
    signed = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})
    return Presigner(BucketEndpoint.of(signed, "key"))


@settings(max_examples=300, deadline=None)
@given(
    site=SITES,
    bucket=BUCKETS,
    credentials=CREDENTIALS,
    key=KEYS,
    asked=ASKED,
    seconds=LIVES,
    now=TIMES,
)
@example(
    site=(None, "us-east-1", "virtual"),
    bucket="my-models",
    credentials=FrozenCredentials("AKIDEXAMPLE", "secret", "a/b+c="),
    key="models/a/../b/~model v1+final=@é.pt",
    asked=a_put(7, DIGEST.as_s3_checksum(), "*"),
    seconds=60,
    now=NOON,
)
def test_a_url_is_the_one_that_botocore_makes(
    site: tuple[str | None, str, str],
    bucket: str,
    credentials: FrozenCredentials,
    key: str,
    asked: Asked,
    seconds: int,
    now: datetime,
) -> None:
    client = at_site(*site)
    client._request_signer._credentials = Credentials(credentials.access_key, credentials.secret_key, credentials.token)
    operation, parameters, query, headers = asked
    with botocore_at(now):
        expected = client.generate_presigned_url(operation, {"Bucket": bucket, "Key": key, **parameters}, seconds)
    method = "GET" if operation == "get_object" else "PUT"
    ours = presigner_of(client, bucket).presign(
        credentials, method, key, query=query, headers=headers, seconds=seconds, now=now
    )
    assert ours == expected


# -- what is remembered


def sign(presigner: Presigner, credentials: FrozenCredentials, now: datetime) -> str:
    return presigner.presign(credentials, "PUT", "key", query={}, headers=PUT, seconds=60, now=now)


def test_what_was_signed_before_makes_no_difference() -> None:
    place = BucketEndpoint("https://s3.example.com/b/", "eu-west-1")
    cases = [
        (FrozenCredentials(access_key, secret, token), day)
        for access_key in ("A", "B")
        for secret in ("1", "2")
        for token in (None, "", "t")
        for day in (NOON, NOON + timedelta(days=1))
    ]
    alone = [sign(Presigner(place), *case) for case in cases]
    presigner = Presigner(place)
    assert [sign(presigner, *case) for case in cases] == alone
    assert [sign(presigner, *case) for case in reversed(cases)] == alone[::-1]
    assert len(set(alone)) == len(cases)


def test_the_signing_key_is_derived_once_a_day() -> None:
    presigner = Presigner(BucketEndpoint("https://s3.example.com/b/", "eu-west-1"))
    with mock.patch("modelkeep.storage.aws.presigning._hmac", wraps=lambda *_: b"key") as spy:
        for now, count in [(NOON, 5), (NOON, 6), (NOON + timedelta(hours=11), 7), (NOON + timedelta(days=1), 12)]:
            sign(presigner, FrozenCredentials("AKID", "secret"), now)
            assert spy.call_count == count


def test_credentials_do_not_show_their_secrets() -> None:
    assert repr(FrozenCredentials("AKID", "secret", "token")) == "FrozenCredentials(access_key='AKID')"


# -- through the store, against the client that the store has


@asynccontextmanager
async def opened(
    bucket: str, endpoint: str | None, token: str | None, public_url: str | None = None
) -> AsyncIterator[tuple[S3Store, Any]]:
    """A store, and an aioboto3 client for where its callers are sent."""
    session = aioboto3.Session("AKIDEXAMPLE", "secret", token, region_name="eu-central-1")
    seen = public_url or endpoint
    style_of = seen or "https://s3.eu-central-1.amazonaws.com"
    opening = S3Store.open(session, bucket, public_url=public_url, endpoint_url=endpoint)
    async with opening as store, _client(session, style_of, seen) as client:
        yield store, client


async def expected(client: Any, url: PresignedUrl, operation: str, parameters: Mapping[str, Any]) -> str:
    """What the client signs at the time at which `url` was signed."""
    date = parse_qs(urlsplit(url.url).query)["X-Amz-Date"][0]
    with botocore_at(datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)):
        return str(await client.generate_presigned_url(operation, parameters, ExpiresIn=60))


@pytest.mark.parametrize(
    ("bucket", "endpoint", "public_url", "token"),
    [
        ("my-models", None, None, "IQoJb3JpZ2luX2VjE//a+b=="),
        ("my.models", "https://s3.dualstack.eu-central-1.amazonaws.com", None, None),
        ("my-models", "http://minio:9000", "https://s3.example.com:8443/models/", "IQoJb3JpZ2luX2VjE//a+b=="),
        ("my-models", None, "http://[::1]:9000", None),
    ],
)
async def test_the_store_signs_what_its_client_would(
    bucket: str, endpoint: str | None, public_url: str | None, token: str | None
) -> None:
    key, minute = "models/m/v1/a/../b/~model v1+final=@é.pt", timedelta(minutes=1)
    signed = {"ContentLength": 7, "ChecksumSHA256": DIGEST.as_s3_checksum()}
    where = {"Bucket": bucket, "Key": key}
    async with opened(bucket, endpoint, token, public_url) as (store, client):
        put = await store.presign_put(key, size=7, sha256=DIGEST, ttl=minute)
        whole = {"IfNoneMatch": "*", "ContentType": "application/octet-stream"}
        assert put.url == await expected(client, put, "put_object", {**where, **signed, **whole})

        part = await store.presign_part(key, "2~an+id/", 17, size=7, sha256=DIGEST, ttl=minute)
        of_part = {**where, "UploadId": "2~an+id/", "PartNumber": 17, **signed}
        assert part.url == await expected(client, part, "upload_part", of_part)

        for version_id in (None, "null", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"):
            get = await store.presign_get(key, version_id=version_id, filename="poids é.pt", ttl=minute)
            answer = {
                "ResponseContentDisposition": "attachment; filename*=UTF-8''poids%20%C3%A9.pt",
                "ResponseContentType": "application/octet-stream",
                **({} if version_id is None else {"VersionId": version_id}),
            }
            assert get.url == await expected(client, get, "get_object", {**where, **answer})


async def test_a_url_is_signed_by_the_credentials_that_its_life_was_taken_from() -> None:
    """They are asked for once; another time they might be others, which live shorter."""

    class Changing:
        def __init__(self) -> None:
            self._expiry_time = NOON
            self.asked = 0

        async def get_frozen_credentials(self) -> FrozenCredentials:
            self.asked += 1
            self._expiry_time = datetime.now(UTC) + timedelta(minutes=10 * self.asked)
            return FrozenCredentials(f"AKID{self.asked}", "secret", "token")

    credentials = Changing()
    presigner = Presigner(BucketEndpoint("https://s3.example.com/b/", "eu-west-1"))
    store = S3Store(mock.Mock(), presigner, credentials, "b")
    for number in (1, 2):
        url = await store.presign_get("key", version_id=None, filename="x", ttl=timedelta(hours=1))
        query = parse_qs(urlsplit(url.url).query)
        assert query["X-Amz-Credential"][0].startswith(f"AKID{number}/")
        assert 600 * number - 70 < int(query["X-Amz-Expires"][0]) <= 600 * number - 60
        assert credentials.asked == number


async def test_a_store_opens_without_asking_who_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a role has to be assumed first, the service starts all the same, and says later what is wrong."""
    lend = mock.AsyncMock()
    monkeypatch.setattr(s3, "signing_credentials", lend)
    session = aioboto3.Session(region_name="eu-central-1")
    credentials = mock.Mock(get_frozen_credentials=mock.AsyncMock(side_effect=AssertionError))
    vars(session._session)["_credentials"] = credentials
    async with S3Store.open(session, "my-models", public_url=None):
        lend.assert_not_called()
    credentials.get_frozen_credentials.assert_not_called()


async def test_a_bucket_that_keeps_no_versions_is_refused() -> None:
    with pytest.raises(StoreUnavailableError, match="general purpose"):
        async with opened("models--euc1-az1--x-s3", None, None):
            pass
