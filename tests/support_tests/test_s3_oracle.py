"""What the referee before S3 refuses, in S3's own words; and that it takes what the registry and the SDK sign."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from botocore.exceptions import ClientError

from modelkeep.domain.values import PresignedUrl
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.aws.s3_setup import set_up_bucket
from modelkeep.storage.objects import MultipartRefusedError, StoredPart
from tests.support.faults.proxy import Request
from tests.support.faults.s3_proxy import S3Proxy, before_s3
from tests.support.s3_rules import sigv4
from tests.support.servers import AwsServer
from tests.support.stores import MINUTE, presign, presign_part, read_all, send, store_bytes

pytest_plugins = ["tests.support.store_fixtures"]

CONTENT = b"the bytes of a model"
OTHER = b"other bytes of a mode"
WEEK = timedelta(days=7)


@pytest.fixture(scope="module")
async def standing(ministack: AwsServer) -> AsyncIterator[S3Proxy]:
    async with before_s3(ministack) as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def judged(standing: S3Proxy, ministack: AwsServer) -> AsyncIterator[S3Store]:
    """A store all of whose requests are judged."""
    url, bucket = standing.endpoint, f"referee-{uuid4().hex[:12]}"
    async with S3Store.open(ministack.session(), bucket, public_url=url, endpoint_url=url) as store:
        assert [sentence async for sentence in set_up_bucket(store._client, bucket, ministack.region)]
        yield store


@pytest.fixture
def proxy(standing: S3Proxy) -> S3Proxy:
    standing.violations.clear()
    standing.requests.clear()
    return standing


async def put(http: httpx.AsyncClient, store: S3Store, key: str) -> PresignedUrl:
    return await presign(store, key, CONTENT)


def with_query(url: str, **changed: str | None) -> str:
    """The same URL with some parameters changed, or left out."""
    split = urlsplit(url)
    query = dict(sigv4.parameters(split.query)) | {name.replace("_", "-"): value for name, value in changed.items()}
    kept = {name: value for name, value in query.items() if value is not None}
    return split._replace(query=urlencode(kept)).geturl()


def signed_anew(server: AwsServer, method: str, url: str, *, signed: Mapping[str, str], **changed: str) -> str:
    """The same URL with some parameters changed and signed rightly, over these headers."""
    split = urlsplit(with_query(url, X_Amz_SignedHeaders=";".join(sorted(signed)), **changed))
    query = dict(sigv4.parameters(split.query))
    scope = sigv4.Scope.read(query["X-Amz-Credential"])
    assert scope
    request = Request(method=method, path=split.path, query=split.query, headers=dict(signed))
    signature = sigv4.signature(
        request, scope, server.secret_key, date=query["X-Amz-Date"], signed=sorted(signed), payload=sigv4.UNSIGNED
    )
    return with_query(split.geturl(), X_Amz_Signature=signature)


def refused(answer: httpx.Response, proxy: S3Proxy, status: int, code: str) -> None:
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text
    assert len(proxy.violations) == 1
    assert f" {status} {code}: " in proxy.violations[0]


async def test_everything_that_the_store_signs_is_taken(
    proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str
) -> None:
    proxy.referee.smallest_part = 5 * 1024 * 1024
    large, parts = f"{key} ~größer'()*!", [b"a" * proxy.referee.smallest_part, b"the last"]
    await store_bytes(http, judged, key, CONTENT)
    multipart = await judged.begin(large)
    for number, part in enumerate(parts, start=1):
        answer = await send(http, await presign_part(judged, large, multipart, number, part), part)
        assert answer.status_code == 200
    await judged.complete(large, multipart, await judged.list_parts(large, multipart))
    await judged.abort(large, await judged.begin(large))
    for name, content in ((key, CONTENT), (large, b"".join(parts))):
        stored = await judged.stat(name)
        assert stored
        url = await judged.presign_get(name, version_id=None, filename="ein modell+1.pt", ttl=WEEK)
        assert (await send(http, url)).content == content
        ranged = await send(http, url, headers={"range": "bytes=1-3"})
        assert (ranged.status_code, ranged.content) == (206, content[1:4])
        assert await read_all(judged, name) == content
    assert {found.key async for found in judged.list_objects(key)} == {key, large}
    assert [found async for found in judged.list_multiparts(key)] == []
    await judged.delete(key)
    assert proxy.violations == []
    operations = {each.operation for each in proxy.requests}
    assert operations >= {"PutObject", "UploadPart", "CompleteMultipartUpload", "GetObject", "HeadObject", "ListParts"}


Change = Callable[[PresignedUrl], dict[str, Any]]
AUTHORIZATION = {"authorization": "Bearer mr_token"}

CHANGES: dict[str, tuple[Change, int, str]] = {
    "another signature": (lambda _: {"url": {"X_Amz_Signature": "0" * 64}}, 403, "SignatureDoesNotMatch"),
    "another date": (lambda _: {"url": {"X_Amz_Date": _now(-timedelta(seconds=9))}}, 403, "SignatureDoesNotMatch"),
    "a longer life": (lambda _: {"url": {"X_Amz_Expires": "3600"}}, 403, "SignatureDoesNotMatch"),
    "another parameter": (lambda _: {"url": {"x-id": "PutObject"}}, 403, "SignatureDoesNotMatch"),
    "another access key": (lambda _: {"url": {"X_Amz_Credential": _credential("nobody")}}, 403, "InvalidAccessKeyId"),
    "another region": (
        lambda _: {"url": {"X_Amz_Credential": _credential("registrytest", "eu-west-1")}},
        400,
        "AuthorizationQueryParametersError",
    ),
    "no date": (lambda _: {"url": {"X_Amz_Date": None}}, 400, "AuthorizationQueryParametersError"),
    "no time": (lambda _: {"url": {"X_Amz_Expires": "soon"}}, 400, "AuthorizationQueryParametersError"),
    "longer than a week": (lambda _: {"url": {"X_Amz_Expires": "604801"}}, 400, "AuthorizationQueryParametersError"),
    "another host": (lambda _: {"headers": {"host": "localhost"}}, 403, "SignatureDoesNotMatch"),
    "no condition": (lambda _: {"headers": {"if-none-match": None}}, 403, "SignatureDoesNotMatch"),
    "no checksum": (lambda _: {"headers": {"x-amz-checksum-sha256": None}}, 403, "SignatureDoesNotMatch"),
    "another length": (
        lambda _: {"headers": {"content-length": None}, "content": CONTENT[1:]},
        403,
        "SignatureDoesNotMatch",
    ),
    "other bytes": (lambda _: {"content": OTHER[: len(CONTENT)]}, 400, "BadDigest"),
    "a header that is not signed": (lambda _: {"headers": {"x-amz-acl": "public-read"}}, 403, "AccessDenied"),
    "a token beside it": (lambda _: {"headers": AUTHORIZATION}, 400, "InvalidArgument"),
    "an older signature beside it": (
        lambda _: {"url": {"AWSAccessKeyId": "registrytest", "Signature": "x"}},
        400,
        "InvalidArgument",
    ),
}


def _now(ago: timedelta) -> str:
    return (datetime.now(UTC) + ago).strftime("%Y%m%dT%H%M%SZ")


def _credential(key: str, region: str = "us-east-1") -> str:
    return f"{key}/{datetime.now(UTC):%Y%m%d}/{region}/s3/aws4_request"


@pytest.mark.parametrize("what", CHANGES)
async def test_a_url_is_good_for_exactly_what_was_signed(
    proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str, what: str
) -> None:
    url = await presign(judged, key, CONTENT)
    change, status, code = CHANGES[what]
    changed = change(url)
    answer = await send(
        http,
        url,
        changed.get("content", CONTENT),
        url=with_query(url.url, **changed.get("url", {})),
        headers=changed.get("headers"),
    )
    refused(answer, proxy, status, code)
    assert await judged.stat(key) is None


async def test_a_url_is_good_for_one_method_and_one_key(
    proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str
) -> None:
    await store_bytes(http, judged, key, CONTENT)
    url = await judged.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    refused(await http.delete(url.url), proxy, 403, "SignatureDoesNotMatch")
    proxy.violations.clear()
    assert (await http.head(url.url)).status_code == 403
    assert (await http.get(url.url.replace("/v1/", "/v2/"))).status_code == 403
    assert len(proxy.violations) == 2


@pytest.mark.parametrize(
    ("signed_at", "life", "status", "code"),
    [
        (timedelta(seconds=-62), "60", 403, "AccessDenied"),
        (timedelta(minutes=20), "60", 403, "AccessDenied"),
        (timedelta(0), "604801", 400, "AuthorizationQueryParametersError"),
        (timedelta(0), "-1", 400, "AuthorizationQueryParametersError"),
    ],
    ids=["expired", "not yet valid", "longer than a week", "negative"],
)
async def test_time_counts_however_well_it_is_signed(
    ministack: AwsServer,
    proxy: S3Proxy,
    judged: S3Store,
    http: httpx.AsyncClient,
    key: str,
    signed_at: timedelta,
    life: str,
    status: int,
    code: str,
) -> None:
    url = await judged.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    signed = {"host": urlsplit(url.url).netloc}
    date = _now(signed_at)
    scope = _credential("registrytest").replace(f"{datetime.now(UTC):%Y%m%d}", date[:8])
    anew = signed_anew(
        ministack, "GET", url.url, signed=signed, X_Amz_Date=date, X_Amz_Expires=life, X_Amz_Credential=scope
    )
    refused(await http.get(anew), proxy, status, code)


async def test_the_host_must_be_signed(
    ministack: AwsServer, proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str
) -> None:
    url = await judged.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    anew = signed_anew(ministack, "GET", url.url, signed={"range": "bytes=0-1"})
    refused(await http.get(anew, headers={"range": "bytes=0-1"}), proxy, 403, "AccessDenied")


async def test_signature_version_2_is_refused(proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient) -> None:
    query = "AWSAccessKeyId=registrytest&Expires=1900000000&Signature=x"
    refused(await http.get(f"{judged._client.meta.endpoint_url}/b/k?{query}"), proxy, 400, "InvalidRequest")


async def test_nobody_is_refused(proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient) -> None:
    refused(await http.get(f"{judged._client.meta.endpoint_url}/b/k"), proxy, 403, "AccessDenied")


async def test_bytes_without_a_length_are_refused(
    proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT

    url = await presign(judged, key, CONTENT)
    answer = await send(http, url, chunks(), headers={"content-length": None})
    assert answer.status_code == 403
    assert await judged.stat(key) is None


# -- what the SDK signs


@pytest.mark.parametrize("secret", ["registrytestsecret", "another"])
async def test_a_header_signature_is_recomputed(
    ministack: AwsServer, proxy: S3Proxy, judged: S3Store, secret: str
) -> None:
    other = AwsServer(ministack.endpoint, secret_key=secret)
    async with other.session().client("s3", endpoint_url=proxy.endpoint) as client:
        if secret == ministack.secret_key:
            await client.put_object(Bucket=judged._bucket, Key="a key", Body=CONTENT)
            assert proxy.violations == []
            return
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await client.put_object(Bucket=judged._bucket, Key="a key", Body=CONTENT)
    assert len(proxy.violations) == 1


HEADERS: dict[str, tuple[dict[str, str], int, str]] = {
    "no such mechanism": ({"authorization": "Bearer mr_token"}, 400, "AuthorizationHeaderMalformed"),
    "the older signature": ({"authorization": "AWS registrytest:x"}, 400, "InvalidRequest"),
    "other bytes": ({"x-amz-content-sha256": hashlib.sha256(OTHER).hexdigest()}, 400, "XAmzContentSHA256Mismatch"),
    "no digest": ({"x-amz-content-sha256": "STREAMING"}, 400, "InvalidArgument"),
    "a clock that is wrong": ({"x-amz-date": "20200101T000000Z"}, 403, "RequestTimeTooSkewed"),
    "no date": ({"x-amz-date": ""}, 403, "AccessDenied"),
    "right": ({}, 200, ""),
}


@pytest.mark.parametrize("what", HEADERS)
async def test_header_signatures_are_held_against_bytes_and_time(
    ministack: AwsServer, proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str, what: str
) -> None:
    changed, status, code = HEADERS[what]
    date = _now(timedelta(0))
    path = f"/{judged._bucket}/{uuid4()}"
    headers = {
        "host": urlsplit(proxy.endpoint).netloc,
        "x-amz-content-sha256": hashlib.sha256(CONTENT).hexdigest(),
        "x-amz-date": date,
        **changed,
    }
    signed = ["host", "x-amz-content-sha256", "x-amz-date"]
    scope = sigv4.Scope.read(_credential("registrytest"))
    assert scope
    request = Request(method="PUT", path=path, query="", headers=headers)
    payload = headers["x-amz-content-sha256"]
    signature = sigv4.signature(request, scope, ministack.secret_key, date=date, signed=signed, payload=payload)
    fields = f"Credential={_credential('registrytest')}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    headers.setdefault("authorization", f"{sigv4.ALGORITHM} {fields}")
    answer = await http.put(f"{proxy.endpoint}{path}", content=CONTENT, headers=headers)
    if status == 200:
        assert (answer.status_code, proxy.violations) == (200, [])
    else:
        refused(answer, proxy, status, code)


# -- parts


@pytest.fixture
async def parts(proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str) -> tuple[str, list[StoredPart]]:
    """Three small parts that have arrived."""
    proxy.referee.smallest_part = 3
    multipart = await judged.begin(key)
    for number, part in enumerate([b"one", b"two", b"3"], start=1):
        answer = await send(http, await presign_part(judged, key, multipart, number, part), part)
        assert answer.status_code == 200
    return multipart, list(await judged.list_parts(key, multipart))


async def test_small_parts_are_a_setting(
    proxy: S3Proxy, judged: S3Store, key: str, parts: tuple[str, list[StoredPart]]
) -> None:
    await judged.complete(key, *parts)
    assert await read_all(judged, key) == b"onetwo3"
    assert proxy.violations == []


async def test_a_small_part_that_is_not_the_last_is_refused(
    proxy: S3Proxy, judged: S3Store, key: str, parts: tuple[str, list[StoredPart]]
) -> None:
    proxy.referee.smallest_part = 4
    with pytest.raises(MultipartRefusedError):
        await judged.complete(key, *parts)
    assert "400 EntityTooSmall" in proxy.violations[0]


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 0, 1, 2]])
async def test_parts_come_in_order_and_once(
    proxy: S3Proxy, judged: S3Store, key: str, parts: tuple[str, list[StoredPart]], order: list[int]
) -> None:
    multipart, arrived = parts
    with pytest.raises(MultipartRefusedError):
        await judged.complete(key, multipart, [arrived[position] for position in order])
    assert "400 InvalidPartOrder" in proxy.violations[0]
    assert await judged.stat(key) is None


async def test_completion_names_each_checksum_and_the_size(
    proxy: S3Proxy, judged: S3Store, key: str, parts: tuple[str, list[StoredPart]]
) -> None:
    multipart, arrived = parts
    named: Any = [{"PartNumber": part.number, "ETag": part.etag} for part in arrived]
    sums = [part.sha256.as_s3_checksum() for part in arrived if part.sha256]
    checked: Any = [{**part, "ChecksumSHA256": checksum} for part, checksum in zip(named, sums, strict=True)]
    where = {"Bucket": judged._bucket, "Key": key, "UploadId": multipart}
    complete: Any = judged._client.complete_multipart_upload
    for wrong in ({"MultipartUpload": {"Parts": named}}, {"MultipartUpload": {"Parts": checked}, "MpuObjectSize": 6}):
        with pytest.raises(ClientError, match="InvalidRequest"):
            await complete(**where, **wrong)
    with pytest.raises(ClientError, match="MalformedXML"):
        await complete(**where, MultipartUpload={"Parts": []})
    assert len(proxy.violations) == 3


@pytest.mark.parametrize("number", [0, 10_001])
async def test_a_part_has_a_number_from_1_to_10000(
    proxy: S3Proxy, judged: S3Store, http: httpx.AsyncClient, key: str, number: int
) -> None:
    url = await presign_part(judged, key, await judged.begin(key), number, CONTENT)
    refused(await send(http, url, CONTENT), proxy, 400, "InvalidArgument")
