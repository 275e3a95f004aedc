"""What the S3 driver promises beyond every `ObjectStore`: the shape of its URLs, honest expiry, a fit bucket."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import aioboto3
import httpx
import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from botocore.exceptions import ClientError, MetadataRetrievalError
from botocore.session import get_session

from modelkeep.domain.values import PresignedUrl
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.aws.s3_answers import read_checksum
from modelkeep.storage.aws.s3_clients import addressing_style
from modelkeep.storage.aws.s3_probe import probe_bucket
from modelkeep.storage.aws.s3_setup import set_up_bucket
from modelkeep.storage.objects import StoreUnavailableError
from tests.support.servers import AwsServer
from tests.support.stores import MINUTE, digest_of, presign, presign_part, send, store_bytes

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

pytest_plugins = ["tests.support.store_fixtures"]

CONTENT = b"the bytes of a model"
KEY = "models/m/v1/model v1.pt"
HOUR = timedelta(hours=1)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> aioboto3.Session:
    """A session as on AWS itself, with credentials of nobody; presigning contacts no one."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    return aioboto3.Session("AKIDEXAMPLE", "secret", region_name="eu-central-1")


@pytest.fixture
async def on_aws(aws: aioboto3.Session) -> AsyncIterator[S3Store]:
    async with S3Store.open(aws, "my-models", public_url=None) as store:
        yield store


def parts_of(url: PresignedUrl) -> tuple[str, str, dict[str, str]]:
    split = urlsplit(url.url)
    return f"{split.scheme}://{split.netloc}", split.path, {k: v[0] for k, v in parse_qs(split.query).items()}


# -- the shape of URLs


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("us-east-1", "amazonaws.com"),
        ("us-west-2", "amazonaws.com"),
        ("eu-central-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
    ],
)
async def test_urls_are_signed_with_sigv4_for_the_bucket_in_its_region(
    aws: aioboto3.Session, region: str, domain: str
) -> None:
    session = aioboto3.Session("AKIDEXAMPLE", "secret", region_name=region)
    async with S3Store.open(session, "my-models", public_url=None) as store:
        host, path, query = parts_of(await presign(store, KEY, CONTENT))
    assert host == f"https://my-models.s3.{region}.{domain}"
    assert path == "/models/m/v1/model%20v1.pt"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == "60"
    assert f"/{region}/s3/aws4_request" in query["X-Amz-Credential"]


async def test_a_put_url_signs_bytes_length_type_and_condition(on_aws: S3Store) -> None:
    url = await presign(on_aws, KEY, CONTENT)
    _, _, query = parts_of(url)
    assert query["X-Amz-SignedHeaders"] == "content-length;content-type;host;if-none-match;x-amz-checksum-sha256"
    assert set(url.headers) | {"host"} == set(query["X-Amz-SignedHeaders"].split(";"))


async def test_a_part_url_signs_bytes_length_and_number(on_aws: S3Store) -> None:
    url = await presign_part(on_aws, KEY, "upload-id", 7, CONTENT)
    _, _, query = parts_of(url)
    assert query["X-Amz-SignedHeaders"] == "content-length;host;x-amz-checksum-sha256"
    assert set(url.headers) | {"host"} == set(query["X-Amz-SignedHeaders"].split(";"))
    assert (query["uploadId"], query["partNumber"]) == ("upload-id", "7")


async def test_a_get_url_needs_no_headers_and_pins_the_version(on_aws: S3Store) -> None:
    url = await on_aws.presign_get(KEY, version_id="v-17", filename="model v1.pt", ttl=MINUTE)
    _, _, query = parts_of(url)
    assert (url.method, url.headers) == ("GET", {})
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["versionId"] == "v-17"
    assert query["response-content-type"] == "application/octet-stream"
    assert query["response-content-disposition"] == "attachment; filename*=UTF-8''model%20v1.pt"
    assert not [name for name in query if "checksum" in name.lower()]


@pytest.mark.parametrize(
    ("endpoint", "style"),
    [
        ("https://s3.amazonaws.com", "virtual"),
        ("https://s3.eu-central-1.amazonaws.com", "virtual"),
        ("https://s3.dualstack.eu-central-1.amazonaws.com", "virtual"),
        ("https://s3-fips.us-gov-west-1.amazonaws.com", "virtual"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "virtual"),
        ("https://s3.dualstack.eusc-de-east-1.amazonaws.eu", "virtual"),
        ("https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", "path"),
        ("http://127.0.0.1:9000", "path"),
        ("http://s3:9000", "path"),
        ("https://s3.example.com", "path"),
        ("https://s3.amazonaws.com.example.com", "path"),
    ],
)
def test_the_bucket_is_in_the_host_on_aws_only(endpoint: str, style: str) -> None:
    assert addressing_style(endpoint) == style


def test_every_partition_is_known() -> None:
    partitions = get_session().get_component("data_loader").load_data("partitions")["partitions"]
    for domain in {partition["outputs"]["dnsSuffix"] for partition in partitions}:
        assert addressing_style(f"https://s3.some-region-1.{domain}") == "virtual", domain


async def test_urls_are_for_the_endpoint_that_callers_see(
    ministack: AwsServer, s3: S3Store, http: httpx.AsyncClient, key: str
) -> None:
    seen = ministack.endpoint.replace("127.0.0.1", "localhost")
    opening = S3Store.open(ministack.session(), s3._bucket, public_url=seen, endpoint_url=ministack.endpoint)
    async with opening as store:
        url = await presign(store, key, CONTENT)
        assert parts_of(url)[:2] == (seen, urlsplit((await presign(s3, key, CONTENT)).url).path)
        assert (await send(http, url, CONTENT)).status_code == 200
        assert await store.stat(key)


async def test_the_environment_names_the_endpoint(aws: aioboto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://storage.internal:9000")
    async with S3Store.open(aws, "my-models", public_url=None) as store:
        assert parts_of(await presign(store, KEY, CONTENT))[0] == "http://storage.internal:9000"
    async with S3Store.open(aws, "my-models", public_url="https://models.example.com") as store:
        host, path, _ = parts_of(await presign(store, KEY, CONTENT))
        assert (host, path) == ("https://models.example.com", "/my-models/models/m/v1/model%20v1.pt")
        assert store._client.meta.endpoint_url == "http://storage.internal:9000"


# -- honest expiry


def expiring(left: timedelta, renew: Callable[[], Any]) -> AioRefreshableCredentials:
    return AioRefreshableCredentials(
        "AKIDOLD", "secret", "token-old", datetime.now(UTC) + left, refresh_using=renew, method="test"
    )


def fresh(life: timedelta) -> Callable[[], Any]:
    async def renew() -> dict[str, str]:
        expiry = (datetime.now(UTC) + life).isoformat()
        return {"access_key": "AKIDNEW", "secret_key": "secret", "token": "token-new", "expiry_time": expiry}

    return renew


async def failing() -> dict[str, str]:
    raise MetadataRetrievalError(error_msg="no route to host")


async def signed_by(session: aioboto3.Session, credentials: AioRefreshableCredentials, ttl: timedelta) -> PresignedUrl:
    vars(session._session)["_credentials"] = credentials
    async with S3Store.open(session, "my-models", public_url=None) as store:
        return await presign(store, KEY, CONTENT, ttl)


async def test_a_url_ends_before_the_credentials_that_signed_it(aws: aioboto3.Session) -> None:
    url = await signed_by(aws, expiring(timedelta(minutes=30), failing), HOUR)
    left = url.expires_at - datetime.now(UTC)
    assert timedelta(minutes=28, seconds=50) < left <= timedelta(minutes=29)
    seconds = int(parts_of(url)[2]["X-Amz-Expires"])
    signed_at = datetime.strptime(parts_of(url)[2]["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert url.expires_at <= signed_at + timedelta(seconds=seconds)


async def test_a_url_that_ends_earlier_anyway_is_not_shortened(aws: aioboto3.Session) -> None:
    url = await signed_by(aws, expiring(timedelta(minutes=30), failing), MINUTE)
    assert parts_of(url)[2]["X-Amz-Expires"] == "60"


async def test_credentials_close_to_their_end_are_renewed_first(aws: aioboto3.Session) -> None:
    url = await signed_by(aws, expiring(timedelta(seconds=90), fresh(timedelta(hours=6))), HOUR)
    assert parts_of(url)[2]["X-Amz-Expires"] == "3600"
    assert parts_of(url)[2]["X-Amz-Security-Token"] == "token-new"


@pytest.mark.parametrize("renew", [failing, fresh(timedelta(seconds=100)), fresh(timedelta(seconds=-5))])
async def test_credentials_that_cannot_be_renewed_sign_nothing(aws: aioboto3.Session, renew: Callable[[], Any]) -> None:
    with pytest.raises(StoreUnavailableError, match="credentials"):
        await signed_by(aws, expiring(timedelta(seconds=90), renew), HOUR)


async def test_without_credentials_or_region_the_store_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    with pytest.raises(StoreUnavailableError, match="No AWS credentials"):
        async with S3Store.open(aioboto3.Session(region_name="us-east-1"), "b", public_url=None):
            pass
    with pytest.raises(StoreUnavailableError, match="AWS_REGION"):
        async with S3Store.open(aioboto3.Session("AKID", "secret"), "b", public_url=None):
            pass


# -- what S3 says


@pytest.mark.parametrize(
    ("checksum", "sha256", "parts_sha256"),
    [
        (digest_of(CONTENT).as_s3_checksum(), digest_of(CONTENT), None),
        (f"{digest_of(CONTENT).as_s3_checksum()}-3", None, digest_of(CONTENT)),
        ("", None, None),
    ],
)
def test_a_checksum_of_checksums_is_no_digest(checksum: str, sha256: Any, parts_sha256: Any) -> None:
    assert read_checksum(checksum) == (sha256, parts_sha256)


async def test_a_version_is_pinned(s3: S3Store, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, s3, key, CONTENT)
    before = await s3.stat(key)
    assert before is not None
    assert before.version_id
    await s3._client.put_object(Bucket=s3._bucket, Key=key, Body=b"written past the registry")
    url = await s3.presign_get(key, version_id=before.version_id, filename="x", ttl=MINUTE)
    assert (await http.get(url.url)).content == CONTENT
    assert await s3.stat(key, version_id=before.version_id) == before


async def test_parts_are_listed_over_all_pages(s3: S3Store, http: httpx.AsyncClient, key: str) -> None:
    multipart_id = await s3.begin(key)
    for number in range(1, 6):
        await send(http, await presign_part(s3, key, multipart_id, number, CONTENT), CONTENT)
    client = s3._client
    paginate: Any = client.get_paginator("list_parts").paginate
    small = SimpleNamespace(
        meta=client.meta,
        get_paginator=lambda _: SimpleNamespace(
            paginate=lambda **asked: paginate(**asked, PaginationConfig={"PageSize": 2})
        ),
    )
    store = S3Store(small, s3._presigner, s3._credentials, s3._bucket)  # type: ignore[arg-type]
    assert [part.number for part in await store.list_parts(key, multipart_id)] == [1, 2, 3, 4, 5]
    await s3.abort(key, multipart_id)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "sentence"),
    [(None, "no-such-bucket", "run `modelkeep init`"), ("http://127.0.0.1:9", "b", "No answer")],
)
async def test_a_store_that_cannot_be_used_says_why(
    ministack: AwsServer, endpoint: str | None, bucket: str, sentence: str
) -> None:
    endpoint = endpoint or ministack.endpoint
    async with S3Store.open(ministack.session(), bucket, public_url=None, endpoint_url=endpoint) as store:
        with pytest.raises(StoreUnavailableError, match=sentence):
            await store.begin(KEY)
        with pytest.raises(StoreUnavailableError, match=sentence):
            _ = [found async for found in store.list_objects("")]


@pytest.mark.parametrize("operation", ["head_object", "get_object", "list_parts", "complete_multipart_upload"])
@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("SlowDown", 503), ("InternalError", 500)])
async def test_every_other_refusal_is_unavailability(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, operation: str, code: str, status: int
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ClientError(
            {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "HeadObject",
        )

    monkeypatch.setattr(s3._client, "_make_api_call", refuse)
    calls: dict[str, Callable[[], Any]] = {
        "head_object": lambda: s3.stat(KEY),
        "get_object": lambda: anext(s3.read(KEY)),
        "list_parts": lambda: s3.list_parts(KEY, "id"),
        "complete_multipart_upload": lambda: s3.complete(KEY, "id", []),
    }
    with pytest.raises(StoreUnavailableError):
        await calls[operation]()


# -- the bucket


@pytest.fixture
async def client(s3: S3Store) -> "S3Client":
    return s3._client


async def steps(client: "S3Client", bucket: str) -> list[str]:
    return [sentence async for sentence in set_up_bucket(client, bucket, "us-east-1")]


async def test_setting_a_bucket_up_can_be_repeated(client: "S3Client") -> None:
    bucket = f"setup-{uuid4().hex}"
    first = await steps(client, bucket)
    assert first[0] == f"Bucket '{bucket}' was created in us-east-1."
    assert "Versioning was switched on." in first
    second = await steps(client, bucket)
    assert all("already" in sentence or "not offered" in sentence for sentence in second)
    assert len(first) == len(second) == 4


def lifecycle_rule(name: str, **action: Any) -> Any:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": "models/"}, **action}


ENDS_UPLOADS = lifecycle_rule(
    "modelkeep-abort-unfinished-uploads", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}
)
DROPS_VERSIONS = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}


async def rules_of(client: "S3Client", bucket: str) -> dict[str, Any]:
    answer = await client.get_bucket_lifecycle_configuration(Bucket=bucket)
    return {rule.get("ID", ""): rule for rule in answer["Rules"]}


async def test_no_lifecycle_rule_drops_what_a_version_may_pin(client: "S3Client") -> None:
    await steps(client, bucket := f"setup-{uuid4().hex}")
    assert await rules_of(client, bucket) == {ENDS_UPLOADS["ID"]: ENDS_UPLOADS}


@pytest.mark.parametrize("ours", ["modelkeep", "model-registry"])
async def test_the_rule_of_earlier_releases_goes_and_those_of_others_stay(client: "S3Client", ours: str) -> None:
    bucket = f"setup-{uuid4().hex}"
    await client.create_bucket(Bucket=bucket)
    theirs = lifecycle_rule("theirs", **DROPS_VERSIONS)
    before: Any = [theirs, lifecycle_rule(f"{ours}-expire-deleted-bytes", **DROPS_VERSIONS), ENDS_UPLOADS]
    await client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": before})
    said = await steps(client, bucket)
    assert said[-1] == f"Lifecycle rules were removed: {ours}-expire-deleted-bytes."
    assert await rules_of(client, bucket) == {"theirs": theirs, ENDS_UPLOADS["ID"]: ENDS_UPLOADS}
    assert (await steps(client, bucket))[-1] == "Lifecycle rules are as they should be already."


async def test_what_is_deleted_leaves_no_bytes_and_no_marker(s3: S3Store, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, s3, key, CONTENT)
    await s3.delete(key)
    await s3.delete(key)
    assert [version async for version in s3.list_versions(key)] == []


async def test_every_version_and_marker_is_listed(s3: S3Store, http: httpx.AsyncClient, key: str) -> None:
    first = (await s3._client.put_object(Bucket=s3._bucket, Key=key, Body=b"1")).get("VersionId")
    marker = (await s3._client.delete_object(Bucket=s3._bucket, Key=key)).get("VersionId")
    await store_bytes(http, s3, key, CONTENT)
    found = {each.version_id: (each.is_current, each.is_marker) async for each in s3.list_versions(key)}
    current = await s3.stat(key)
    assert current
    assert found == {first: (False, False), marker: (False, True), current.version_id: (True, False)}


def refusing(code: str, status: int) -> Callable[..., Any]:
    async def refuse(**_: object) -> None:
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(answer, "CreateBucket")

    return refuse


async def test_what_a_server_does_not_offer_is_left_out_and_told(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "get_public_access_block", refusing("NotImplemented", 501))
    assert "Blocking public access: not offered by this server; left out." in await steps(client, f"s-{uuid4().hex}")


async def test_public_access_is_blocked_where_nothing_was_set(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"setup-{uuid4().hex}"
    with monkeypatch.context() as unset:
        unset.setattr(client, "get_public_access_block", refusing("NoSuchPublicAccessBlockConfiguration", 404))
        assert "Public access was blocked." in await steps(client, bucket)
    answer = await client.get_public_access_block(Bucket=bucket)
    assert set(answer["PublicAccessBlockConfiguration"].values()) == {True}


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("BucketAlreadyExists", 409, "another account"),
        ("AccessDenied", 403, "s3:CreateBucket"),
    ],
)
async def test_a_bucket_that_cannot_be_created_says_why(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch, code: str, status: int, sentence: str
) -> None:
    monkeypatch.setattr(client, "create_bucket", refusing(code, status))
    with pytest.raises(StoreUnavailableError, match=sentence):
        await steps(client, f"setup-{uuid4().hex}")


async def test_another_setup_at_the_same_time_does_no_harm(
    client: "S3Client", monkeypatch: pytest.MonkeyPatch, s3: S3Store
) -> None:
    monkeypatch.setattr(client, "head_bucket", refusing("404", 404))
    monkeypatch.setattr(client, "create_bucket", refusing("BucketAlreadyOwnedByYou", 409))
    assert (await steps(client, s3._bucket))[0] == f"Bucket '{s3._bucket}' is there already."


async def test_a_fit_bucket_passes_and_keeps_nothing_of_it(client: "S3Client", s3: S3Store) -> None:
    assert "refuses to overwrite" in await probe_bucket(client, s3._bucket)
    answer = await client.list_object_versions(Bucket=s3._bucket, Prefix="models/$probe/")
    assert not answer.get("Versions")
    assert not answer.get("DeleteMarkers")


@pytest.mark.parametrize(("ignored", "sentence"), [("IfNoneMatch", "second PUT"), ("ChecksumSHA256", "declared")])
async def test_a_store_that_breaks_a_promise_is_refused(
    client: "S3Client", s3: S3Store, monkeypatch: pytest.MonkeyPatch, ignored: str, sentence: str
) -> None:
    put: Any = client.put_object

    async def careless(**asked: Any) -> Any:
        asked.pop(ignored, None)
        return await put(**asked)

    monkeypatch.setattr(client, "put_object", careless)
    with pytest.raises(StoreUnavailableError, match=sentence):
        await probe_bucket(client, s3._bucket)
