"""Each role does its work with the policy that `iam-policy` prints for it, and with nothing less.

A guard stands before DynamoDB and S3 and decides on every request by the policy, as AWS would.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from modelkeep.admin.iam_policies import Role
from modelkeep.domain.errors import UnavailableError
from modelkeep.main import create_app
from tests.support import iam_operations as does
from tests.support import servers
from tests.support.iam import Grant, grants
from tests.support.iam_site import Gate, Registry, Site, gate, open_registry, policy_of, site
from tests.support.iam_walk import exchange_an_identity, noting_answers, unanswered, walk
from tests.support.stores import presign, send

Operation = Callable[[Site], Awaitable[None]]

SERVE: Mapping[str, Operation] = {
    "ReadItems dynamodb:GetItem": does.find_a_model,
    "ReadItems dynamodb:Query": does.list_versions,
    "FindModels dynamodb:Query": does.list_models,
    "ReadModels dynamodb:BatchGetItem": does.list_models,
    "WriteItems dynamodb:PutItem": does.begin,
    "WriteItems dynamodb:DeleteItem": does.complete,
    "FenceWrites dynamodb:ConditionCheckItem": does.change_nothing_under_a_key,
    "ReadArtifacts s3:GetObject": does.complete,
    "ReadArtifacts s3:GetObjectVersion": does.fetch,
    "TellMissingFromForbidden s3:ListBucket": does.look_at_an_upload,
    "StoreArtifacts s3:PutObject": does.begin_in_parts,
    "StoreArtifacts s3:ListMultipartUploadParts": does.complete_in_parts,
    "StoreArtifacts s3:AbortMultipartUpload": does.abandon,
}
MIGRATE: Mapping[str, Operation] = {
    "ReadItems dynamodb:GetItem": does.move_in,
    "ReadItems dynamodb:Query": does.move_in,
    "FindModels dynamodb:Query": does.move_in,
    "ReadModels dynamodb:BatchGetItem": does.bring_a_deletion_forward,
    "ReadAllItems dynamodb:Scan": does.move_out,
    "WriteItems dynamodb:PutItem": does.move_in,
    "WriteItems dynamodb:DeleteItem": does.bring_a_deletion_forward,
    "FenceWrites dynamodb:ConditionCheckItem": does.move_in,
    "ReadArtifacts s3:GetObject": does.move_in,
    "ReadArtifacts s3:GetObjectVersion": does.move_out,
    "TellMissingFromForbidden s3:ListBucket": does.move_in,
    "StoreArtifacts s3:PutObject": does.move_in,
    "StoreArtifacts s3:AbortMultipartUpload": does.drop_the_parts_of_a_damaged_file,
}
SWEEP: Mapping[str, Operation] = {
    "ReadItems dynamodb:GetItem": does.expire_an_upload,
    "ReadItems dynamodb:Query": does.expire_an_upload,
    "ReadAllItems dynamodb:Scan": does.sweep_nothing,
    "WriteItems dynamodb:PutItem": does.expire_an_upload,
    "WriteItems dynamodb:DeleteItem": does.expire_an_upload,
    "ReadArtifacts s3:GetObject": does.check_an_adopted_version,
    "ReadArtifacts s3:GetObjectVersion": does.check_a_version,
    "TellMissingFromForbidden s3:ListBucket": does.sweep_nothing,
    "FindParts s3:ListBucketMultipartUploads": does.sweep_nothing,
    "RemoveArtifacts s3:DeleteObject": does.expire_an_upload,
    "RemoveArtifacts s3:DeleteObjectVersion": does.purge_the_trash,
    "RemoveArtifacts s3:AbortMultipartUpload": does.expire_an_upload_in_parts,
}
INIT: Mapping[str, Operation] = {
    "ReadItems dynamodb:GetItem": does.adopt,
    "ReadItems dynamodb:Query": does.adopt,
    "ReadAllItems dynamodb:Scan": does.adopt,
    "WriteItems dynamodb:PutItem": does.adopt,
    "ReadArtifacts s3:GetObject": does.adopt,
    "ReadArtifacts s3:GetObjectVersion": does.adopt,
    "TellMissingFromForbidden s3:ListBucket": does.make_everything,
    "MakeTable dynamodb:CreateTable": does.make_everything,
    "MakeTable dynamodb:DescribeTable": does.make_everything,
    "MakeTable dynamodb:UpdateTable": does.make_everything,
    "MakeTable dynamodb:DescribeTimeToLive": does.make_everything,
    "MakeTable dynamodb:UpdateTimeToLive": does.make_everything,
    "MakeTable dynamodb:DescribeContinuousBackups": does.make_everything,
    "MakeTable dynamodb:UpdateContinuousBackups": does.make_everything,
    "MakeBucket s3:CreateBucket": does.make_everything,
    "MakeBucket s3:GetBucketVersioning": does.make_everything,
    "MakeBucket s3:PutBucketVersioning": does.make_everything,
    "MakeBucket s3:GetBucketPublicAccessBlock": does.make_everything,
    "MakeBucket s3:PutBucketPublicAccessBlock": does.close_a_public_bucket,
    "MakeBucket s3:GetLifecycleConfiguration": does.make_everything,
    "MakeBucket s3:PutLifecycleConfiguration": does.make_everything,
    "ProbeBucket s3:PutObject": does.make_everything,
    "ProbeBucket s3:DeleteObjectVersion": does.make_everything,
    "FindProbes s3:ListBucketVersions": does.make_everything,
}
LACKS = r"(The role lacks|is not authorized to perform:) [^.']*{}\b[^.']* on (table '|bucket '|resource: arn:)"
"""What the service says, or S3 to whom a presigned URL was given."""

NEEDS: Mapping[Role, Mapping[str, Operation]] = {
    Role.SERVE: SERVE,
    Role.MIGRATE: MIGRATE,
    Role.SWEEP: SWEEP,
    Role.INIT: INIT,
}
"""For each action that a role is granted, an operation that fails without it."""

QUICK: Final = 3
"""In a quick run one grant of so many is taken away."""

LACKING = [
    pytest.param(
        role,
        Grant(*grant.split()),
        operation,
        id=f"{role}-{grant.split()[1]}-{operation.__name__}",
        marks=[pytest.mark.thorough] if number % QUICK else [],
    )
    for number, (role, grant, operation) in enumerate(
        (role, grant, operation) for role, needs in NEEDS.items() for grant, operation in needs.items()
    )
]
WORKING = [
    pytest.param(role, operation, id=f"{role}-{operation.__name__}")
    for role, needs in NEEDS.items()
    for operation in dict.fromkeys(needs.values())
]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A server of its own: a guard can stand only before what runs on this machine."""
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as server, gate(server) as guarded:
        yield guarded


@pytest.fixture(scope="module")
async def registries(aws: Gate) -> AsyncIterator[Mapping[Role, Registry]]:
    """One for each role, so that what one leaves behind does not slow another down."""
    async with AsyncExitStack() as stack:
        yield {role: await open_registry(aws, stack) for role in Role}


@pytest.fixture
def at(aws: Gate, registries: Mapping[Role, Registry], tmp_path: Path) -> Callable[..., Site]:
    """A site for a role, all of whose rights it has but the one that is named."""

    def of(role: Role, lacking: Grant | None = None) -> Site:
        return site(aws, registries[role], role, lacking, tmp_path)

    return of


@pytest.mark.parametrize("role", Role)
def test_every_action_of_a_policy_has_an_operation_that_needs_it(role: Role) -> None:
    document = policy_of(role, {"MODELKEEP_TABLE": "t", "MODELKEEP_BUCKET": "b", "AWS_REGION": "eu-west-1"})
    assert {str(grant) for grant in grants(document)} == set(NEEDS[role])


@pytest.mark.parametrize(("role", "operation"), WORKING)
async def test_a_role_does_its_work_with_its_policy(at: Callable[..., Site], role: Role, operation: Operation) -> None:
    await operation(at(role))


@pytest.mark.parametrize(("role", "grant", "operation"), LACKING)
async def test_without_an_action_an_operation_fails_and_says_what_is_lacking(
    at: Callable[..., Site], role: Role, grant: Grant, operation: Operation
) -> None:
    silent = operation in {does.abandon, does.drop_the_parts_of_a_damaged_file}
    sentence = does.PARTS_STAY if silent else LACKS.format(re.escape(grant.action))
    with pytest.raises((AssertionError, UnavailableError), match=sentence):
        await operation(at(role, grant))


async def test_every_route_is_answered_under_the_policy_of_serve(at: Callable[..., Site]) -> None:
    here = at(Role.SERVE)
    with here.tested(), noting_answers(here.api) as answers:
        await walk(here.api, here.model)
        answers.append(await exchange_an_identity(here))
    assert unanswered(create_app(here.storage.settings).openapi(), answers) == set()


async def test_tokens_are_made_listed_and_revoked_under_the_policy_of_serve(at: Callable[..., Site]) -> None:
    with (here := at(Role.SERVE)).tested():
        await here.run("token", "create", here.model, "--days", "1", "--allow", "reader")
        (listed,) = [line for line in (await here.run("token", "list")).out if here.model in line]
        await here.run("token", "revoke", listed.split()[0])


# what the service may not do


ITEM = {"model_name": {"S": "m"}, "version": {"N": "1"}}
INDEX_QUERY = {"KeyConditionExpression": "model_name = :m", "ExpressionAttributeValues": {":m": ITEM["model_name"]}}
UPDATE = {"Key": ITEM, "UpdateExpression": "SET a = version"}


@pytest.mark.parametrize(
    ("operation", "request_of"),
    [
        ("put_item", lambda table: {"TableName": table, "Item": ITEM}),
        ("update_item", lambda table: {"TableName": table, "Key": ITEM}),
        ("delete_item", lambda table: {"TableName": table, "Key": ITEM}),
        ("batch_write_item", lambda table: {"RequestItems": {table: [{"PutRequest": {"Item": ITEM}}]}}),
        ("transact_write_items", lambda table: {"TransactItems": [{"Update": {"TableName": table, **UPDATE}}]}),
        ("transact_write_items", lambda table: {"TransactItems": [{"Put": {"TableName": f"{table}-2", "Item": ITEM}}]}),
        ("query", lambda table: {"TableName": table, "IndexName": "stage-index", **INDEX_QUERY}),
        ("get_item", lambda table: {"TableName": f"{table}-2", "Key": ITEM}),
        ("scan", lambda table: {"TableName": table}),
        ("delete_table", lambda table: {"TableName": table}),
    ],
)
async def test_the_service_reads_by_key_and_writes_in_transactions_or_not_at_all(
    at: Callable[..., Site], aws: Gate, operation: str, request_of: Callable[[str], Any]
) -> None:
    here = at(Role.SERVE)
    async with aws.guarded.session().client("dynamodb", endpoint_url=aws.guarded.endpoint) as client:
        with here.tested(), pytest.raises(ClientError, match=r"\(AccessDeniedException\)"):
            await getattr(client, operation)(**request_of(here.variables["MODELKEEP_TABLE"]))


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("delete_object", {"Key": "models/m/v1/model.pt"}),
        ("delete_object", {"Key": "models/m/v1/model.pt", "VersionId": "1"}),
        ("put_object", {"Key": "elsewhere/model.pt"}),
        ("put_object", {"Key": "models"}),
        ("get_object", {"Key": "elsewhere/model.pt"}),
        ("head_object", {"Key": "elsewhere/model.pt"}),
        ("create_multipart_upload", {"Key": "elsewhere/model.pt"}),
        ("list_object_versions", {}),
        ("list_multipart_uploads", {}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
    ],
)
async def test_the_service_can_only_add_and_read_artifacts(
    at: Callable[..., Site], aws: Gate, operation: str, parameters: Mapping[str, Any]
) -> None:
    here = at(Role.SERVE)
    async with aws.guarded.session().client("s3", endpoint_url=aws.guarded.endpoint) as client:
        with here.tested(), pytest.raises(ClientError, match=r"\((AccessDenied|403)\)"):
            await getattr(client, operation)(Bucket=here.variables["MODELKEEP_BUCKET"], **parameters)


async def test_a_presigned_url_has_the_rights_of_its_signer(at: Callable[..., Site]) -> None:
    here = at(Role.SERVE)
    content = b"bytes"
    for key, status in (("models/m/v1/model.pt", 200), ("elsewhere/model.pt", 403)):
        signed = await presign(here.storage.store, key, content)
        with here.tested():
            assert (await send(here.api.http, signed, content)).status_code == status
