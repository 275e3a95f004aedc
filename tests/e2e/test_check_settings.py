"""Checking what table and bucket are set to: what an operator switched off, or could not know, is named."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from modelkeep.admin.storage_check import check_storage
from modelkeep.admin.wording import sentence
from modelkeep.domain.errors import UnavailableError
from modelkeep.services.maintenance.findings import Finding
from modelkeep.settings import Settings
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.proxy import Forward, Proxy, Reply, Request
from tests.support.programs import operating
from tests.support.servers import AwsServer

pytestmark = pytest.mark.one_backend

DENIED: Final = "User: arn:aws:sts::123456789012:assumed-role/r/x is not authorized to perform: {} on resource: *"


@pytest.fixture(scope="module")
def proxy(ministack_here: AwsServer) -> Iterator[Proxy]:
    with Proxy().running() as proxy:
        proxy.behind = int(ministack_here.endpoint.rpartition(":")[2])
        yield proxy


@pytest.fixture
def variables(ministack_here: AwsServer, proxy: Proxy) -> dict[str, str]:
    """A registry for each test, which asks its table and bucket through the proxy."""
    proxy.reset()
    return aws_environment(replace(ministack_here, endpoint=proxy.url))


@pytest.fixture
async def settings(variables: dict[str, str]) -> AsyncIterator[Settings]:
    with environment(variables) as settings:
        await prepare(settings)
        assert await found(settings) == []
        yield settings


@pytest.fixture
async def s3(ministack_here: AwsServer) -> AsyncIterator[Any]:
    async with ministack_here.session().client("s3", endpoint_url=ministack_here.endpoint) as client:
        yield client


@pytest.fixture
async def dynamodb(ministack_here: AwsServer) -> AsyncIterator[Any]:
    async with ministack_here.session().client("dynamodb", endpoint_url=ministack_here.endpoint) as client:
        yield client


async def found(settings: Settings) -> list[Finding]:
    return [finding async for finding in check_storage(settings)]


async def codes(settings: Settings) -> list[str]:
    return [finding.code() for finding in await found(settings)]


async def test_suspended_versioning_is_found(settings: Settings, s3: Any) -> None:
    suspended = {"Status": "Suspended"}
    await s3.put_bucket_versioning(Bucket=settings.bucket, VersioningConfiguration=suspended)
    (fault,) = await found(settings)
    assert sentence(fault).startswith(f"bucket '{settings.bucket}': versioning is suspended")
    await prepare(settings)
    assert await found(settings) == []


RULE: Final = {"ID": "theirs", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
EXPIRES: Final = {"ID": "e", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], ["unfinished_uploads_kept"]),
        ([RULE | {"Filter": {"Prefix": "logs/"}}], ["unfinished_uploads_kept"]),
        ([RULE | {"Filter": {"Prefix": "models/m/"}}], ["unfinished_uploads_kept"]),
        ([RULE | {"Filter": {"Prefix": "models/"}, "Status": "Disabled"}], ["unfinished_uploads_kept"]),
        ([EXPIRES], ["unfinished_uploads_kept"]),
        ([RULE | {"Filter": {"Prefix": "models/"}}], []),
        ([RULE | {"Filter": {}}], []),
        ([RULE | {"Prefix": ""}], []),
    ],
)
async def test_a_missing_rule_for_unfinished_uploads_is_found(
    settings: Settings, s3: Any, rules: list[Any], expected: list[str]
) -> None:
    await s3.delete_bucket_lifecycle(Bucket=settings.bucket)
    if rules:
        await s3.put_bucket_lifecycle_configuration(Bucket=settings.bucket, LifecycleConfiguration={"Rules": rules})
    assert await codes(settings) == expected


async def test_public_access_that_is_not_blocked_is_found(settings: Settings, s3: Any) -> None:
    await s3.delete_public_access_block(Bucket=settings.bucket)
    (fault,) = await found(settings)
    names = "BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets"
    assert f"public access is not blocked ({names} off)" in sentence(fault)
    await prepare(settings)
    some = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    await s3.put_public_access_block(Bucket=settings.bucket, PublicAccessBlockConfiguration=some)
    (fault,) = await found(settings)
    assert "(BlockPublicPolicy off)" in sentence(fault)


@pytest.mark.parametrize(("is_public", "expected"), [("true", ["public_policy"]), ("false", [])])
async def test_a_public_policy_is_found(settings: Settings, proxy: Proxy, is_public: str, expected: list[str]) -> None:
    status = f"<PolicyStatus><IsPublic>{is_public}</IsPublic></PolicyStatus>".encode()
    with instead(proxy, "GET", r"\?policyStatus", Reply(status=200, body=status)):
        assert await codes(settings) == expected


async def test_a_bucket_without_a_policy_is_not_public(settings: Settings, proxy: Proxy) -> None:
    error = b"<Error><Code>NoSuchBucketPolicy</Code><Message>The bucket policy does not exist</Message></Error>"
    with instead(proxy, "GET", r"\?policyStatus", Reply(status=404, body=error)):
        assert await found(settings) == []


@pytest.mark.parametrize("attribute", [None, "expires"])
async def test_expiry_that_is_off_or_by_another_attribute_is_found(
    settings: Settings, dynamodb: Any, attribute: str | None
) -> None:
    for name, enabled in (("ttl", False), (attribute, True)):
        specification = {"AttributeName": name, "Enabled": enabled}
        if name:
            await dynamodb.update_time_to_live(TableName=settings.table, TimeToLiveSpecification=specification)
    (fault,) = await found(settings)
    assert f"items expire by attribute {attribute or 'none'}, not by 'ttl'" in sentence(fault)


async def test_missing_point_in_time_recovery_is_found(settings: Settings, dynamodb: Any) -> None:
    off = {"PointInTimeRecoveryEnabled": False}
    await dynamodb.update_continuous_backups(TableName=settings.table, PointInTimeRecoverySpecification=off)
    assert await codes(settings) == ["backups_off"]
    await prepare(settings)
    assert await found(settings) == []


GLOBAL: Final[Mapping[str, tuple[Mapping[str, Any], str]]] = {
    "eventual": (
        {"Replicas": [{"RegionName": "us-east-1"}, {"RegionName": "eu-west-1"}]},
        "last writer of an item wins",
    ),
    "strong": (
        {
            "Replicas": [{"RegionName": "us-east-2"}],
            "GlobalTableWitnesses": [{"RegionName": "us-west-2"}],
            "MultiRegionConsistency": "STRONG",
        },
        "no change can be written",
    ),
}


@pytest.mark.parametrize("kind", GLOBAL)
async def test_replicas_are_found_with_what_they_break(settings: Settings, proxy: Proxy, kind: str) -> None:
    described, breaks = GLOBAL[kind]
    with describing(proxy, described):
        (fault,) = await found(settings)
    regions = "eu-west-1" if kind == "eventual" else "us-east-2, us-west-2"
    assert f"is replicated to {regions} with {kind} consistency" in sentence(fault)
    assert breaks in sentence(fault)


async def test_a_table_that_is_in_its_own_region_alone_is_not_replicated(settings: Settings, proxy: Proxy) -> None:
    with describing(proxy, {"Replicas": [{"RegionName": "us-east-1"}]}):
        assert await found(settings) == []


async def test_init_names_replicas_and_goes_on(settings: Settings, proxy: Proxy) -> None:
    with describing(proxy, GLOBAL["eventual"][0]):
        said = await prepare(settings)
    assert "with eventual consistency (MREC)" in said[0]
    assert said[-2].startswith("Presigned URLs are good at ")


async def test_init_refuses_a_table_without_transactions(
    settings: Settings, variables: dict[str, str], proxy: Proxy
) -> None:
    with describing(proxy, GLOBAL["strong"][0]):
        said = await operating(variables, "init")
    assert said.status != 0
    assert "has neither transactions nor expiry" in said.out[0]
    assert said.err == [f"Table '{settings.table}' cannot be used. Set MODELKEEP_TABLE to another name."]


# what the role may not see


def denied(action: str) -> Reply:
    if action.startswith("s3:"):
        xml = f"<Error><Code>AccessDenied</Code><Message>{DENIED.format(action)}</Message></Error>"
        return Reply(status=403, body=xml.encode())
    body = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": DENIED.format(action)}
    return Reply(status=400, headers={"content-type": "application/x-amz-json-1.0"}, body=json.dumps(body).encode())


SETTINGS: Final = {
    "dynamodb:DescribeTable": "the table's replicas",
    "dynamodb:DescribeTimeToLive": "the table's expiry",
    "dynamodb:DescribeContinuousBackups": "the table's point-in-time recovery",
    "s3:GetBucketVersioning": "the bucket's versioning",
    "s3:GetLifecycleConfiguration": "the bucket's lifecycle rules",
    "s3:GetBucketPublicAccessBlock": "the bucket's public access block",
    "s3:GetBucketPolicyStatus": "the bucket's policy",
}
SUBRESOURCES: Final = {"GetBucketVersioning": "versioning", "GetLifecycleConfiguration": "lifecycle"} | {
    "GetBucketPublicAccessBlock": "publicAccessBlock",
    "GetBucketPolicyStatus": "policyStatus",
}


@contextmanager
def forbidden(proxy: Proxy, action: str) -> Iterator[None]:
    name = action.partition(":")[2]
    with (
        instead(proxy, "GET", rf"\?{SUBRESOURCES[name]}", denied(action))
        if name in SUBRESOURCES
        else answering_to(proxy, name, lambda *_: denied(action))
    ):
        yield


@pytest.mark.parametrize("action", SETTINGS)
async def test_what_the_role_may_not_see_is_said_and_all_else_is_checked(
    settings: Settings, proxy: Proxy, s3: Any, action: str
) -> None:
    await s3.put_bucket_versioning(Bucket=settings.bucket, VersioningConfiguration={"Status": "Suspended"})
    kind, name = ("table", settings.table) if action.startswith("dynamodb") else ("bucket", settings.bucket)
    with forbidden(proxy, action):
        said = [sentence(finding) for finding in await found(settings)]
    lacks = f"{SETTINGS[action]} could not be checked: The role lacks {action} on {kind} '{name}'."
    assert [line for line in said if line.startswith(lacks)]
    assert len(said) == (1 if action == "s3:GetBucketVersioning" else 2)


async def test_what_could_not_be_checked_is_no_fault(
    settings: Settings, variables: dict[str, str], proxy: Proxy, s3: Any
) -> None:
    with forbidden(proxy, "s3:GetBucketPolicyStatus"):
        said = await operating(variables, "check")
        assert (said.status, said.out[1:]) == (0, ["no fault, 1 setting(s) not checked"])
        await s3.delete_public_access_block(Bucket=settings.bucket)
        said = await operating(variables, "check")
        assert (said.status, said.out[2:]) == (1, ["1 fault(s), 1 setting(s) not checked"])


async def test_a_server_that_has_no_such_setting_is_clean(settings: Settings, proxy: Proxy, s3: Any) -> None:
    await s3.delete_public_access_block(Bucket=settings.bucket)
    unknown = b"<Error><Code>NotImplemented</Code><Message>not implemented</Message></Error>"
    with instead(proxy, "GET", r"\?publicAccessBlock", Reply(status=501, body=unknown)):
        assert await found(settings) == []


async def test_a_missing_table_fails_the_check(settings: Settings, dynamodb: Any) -> None:
    await dynamodb.update_table(TableName=settings.table, DeletionProtectionEnabled=False)
    await dynamodb.delete_table(TableName=settings.table)
    with pytest.raises(UnavailableError, match="run `modelkeep init`"):
        await found(settings)


# standing before the server


@contextmanager
def instead(proxy: Proxy, method: str, target: str, reply: Reply) -> Iterator[None]:
    """Give this answer in place of the server's."""
    proxy.when(method, target, lambda *_: reply)
    yield
    proxy.reset()


@contextmanager
def answering_to(proxy: Proxy, operation: str, answer: Callable[[Request, Forward], Reply]) -> Iterator[None]:
    """Answer an operation of DynamoDB."""

    def fault(request: Request, forward: Forward) -> Reply:
        return (answer if request.headers.get("x-amz-target", "").endswith(f".{operation}") else _through)(
            request, forward
        )

    proxy.when("POST", "", fault)
    yield
    proxy.reset()


def _through(request: Request, forward: Forward) -> Reply:
    return forward(request)


@contextmanager
def describing(proxy: Proxy, facts: Mapping[str, Any]) -> Iterator[None]:
    """Let the table be described with these facts, too."""

    def described(request: Request, forward: Forward) -> Reply:
        reply = forward(request)
        answer = json.loads(reply.body)
        if "Table" not in answer:
            return reply
        body = json.dumps({"Table": answer["Table"] | facts}).encode()
        headers = {name: value for name, value in reply.headers.items() if name != "x-amz-crc32"}
        return Reply(status=200, headers=headers | {"content-length": str(len(body))}, body=body)

    with answering_to(proxy, "DescribeTable", described):
        yield
