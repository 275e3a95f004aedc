"""The policies hold what the drivers call and nothing else, in AWS's own words; `tests/e2e/test_iam.py` runs them."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelkeep.admin.commands import commands
from modelkeep.admin.iam_policies import Role, Statement, policy
from modelkeep.storage.aws.partitions import partition_of
from modelkeep.storage.aws.permissions import ACTIONS
from tests.support.iam_simulator import REFERENCE, Access, allows

STORAGE = Path(__file__).parents[2] / "app" / "modelkeep" / "storage" / "aws"

OTHERWISE = {
    **{operation: {action} for operation, action in ACTIONS.items()},
    "GetObject": {"GetObject", "GetObjectVersion"},
    "HeadObject": {"GetObject", "GetObjectVersion"},
    "DeleteObject": {"DeleteObjectVersion"},
    "TransactWriteItems": {"PutItem", "DeleteItem", "ConditionCheckItem"},
    "GeneratePresignedUrl": set[str](),
    "Close": set[str](),
}
"""The actions of an operation, where they are not called as it is. Objects are deleted by version id alone."""


def needed() -> set[str]:
    """The actions of all operations that the drivers ask of a client, page through, or sign for."""
    found = {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"}
    for module in [*STORAGE.glob("dynamodb*.py"), *STORAGE.glob("s3*.py")]:
        text = module.read_text()
        called = re.findall(r'client\.(?!get_paginator|meta\b|exceptions\b)(\w+)\(|get_paginator\("(\w+)"\)', text)
        for operation in ("".join(map(str.capitalize, (one or other).split("_"))) for one, other in called):
            service = module.stem.partition("_")[0]
            found |= {f"{service}:{action}" for action in OTHERWISE.get(operation, {operation})}
    return found


def statements(role: Role) -> list[Statement]:
    names = {"table": "t", "bucket": "b", "account": "123456789012", "region": "eu-west-1", "partition": "aws"}
    found: list[Statement] = policy(role, **names)["Statement"]
    return found


def granted(role: Role) -> list[tuple[str, str]]:
    return [(action, *statement["Resource"]) for statement in statements(role) for action in statement["Action"]]


def test_the_roles_together_may_do_what_the_drivers_call() -> None:
    assert {action for role in Role for action, _ in granted(role)} == needed()


def kind_of(resource: str) -> str:
    _, _, service, _, _, name = resource.split(":")
    if service == "s3":
        return "object" if "/" in name else "bucket"
    return "index" if "/index/" in name else "table"


@pytest.mark.parametrize("role", Role)
def test_a_statement_is_about_one_resource_that_its_actions_take(role: Role) -> None:
    """What an action takes, and what a condition on it may ask, is looked up in AWS's own reference."""
    for statement in statements(role):
        (resource,) = statement["Resource"]
        for action in statement["Action"]:
            details = REFERENCE.get_action_details(*action.split(":"))
            assert kind_of(resource) in {taken["name"] for taken in details["resourceTypes"]}, action
            for keys in statement.get("Condition", {}).values():
                assert keys.keys() <= set(details["conditionKeys"]), action
    assert len(granted(role)) == len(set(granted(role)))
    assert len({statement["Sid"] for statement in statements(role)}) == len(statements(role))


TABLES = "arn:aws:dynamodb:eu-west-1:123456789012:table"
IN_TRANSACTION = {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}


@pytest.mark.parametrize(
    "access",
    [
        *(Access(f"dynamodb:{action}Item", f"{TABLES}/t") for action in ("Put", "Update", "Delete")),
        Access("dynamodb:BatchWriteItem", f"{TABLES}/t"),
        Access("dynamodb:UpdateItem", f"{TABLES}/t", IN_TRANSACTION),
        Access("dynamodb:PutItem", f"{TABLES}/t-2", IN_TRANSACTION),
        Access("dynamodb:Query", f"{TABLES}/t/index/stage-index"),
        Access("dynamodb:GetItem", f"{TABLES}/t-2"),
        *(Access(f"dynamodb:{action}", f"{TABLES}/t") for action in ("Scan", "DeleteTable")),
        *(Access(f"s3:DeleteObject{of}", "arn:aws:s3:::b/models/m/v1/model.pt") for of in ("", "Version")),
        *(Access(f"s3:{action}Object", "arn:aws:s3:::b/elsewhere/model.pt") for action in ("Put", "Get")),
        Access("s3:PutObject", "arn:aws:s3:::b/models"),
        *(Access(f"s3:{action}", "arn:aws:s3:::b") for action in ("ListBucketVersions", "ListBucketMultipartUploads")),
        Access("s3:PutBucketVersioning", "arn:aws:s3:::b"),
    ],
    ids=lambda access: f"{access.action} {access.resource}",
)
def test_the_service_reads_by_key_writes_in_transactions_and_never_removes_bytes(access: Access) -> None:
    assert not allows({"Statement": statements(Role.SERVE)}, access)


def test_a_role_may_do_no_more_than_its_name_says() -> None:
    of = {role: {action for action, _ in granted(role)} for role in Role}
    assert of[Role.MIGRATE] - of[Role.SERVE] == {"dynamodb:Scan"}
    assert "s3:PutObject" not in of[Role.SWEEP]
    assert "s3:DeleteObject" not in of[Role.INIT]
    for action in ("s3:PutObject", "s3:DeleteObjectVersion"):
        assert sorted(resource for each, resource in granted(Role.INIT) if each == action) == [
            "arn:aws:s3:::b/modelkeep/owner.json",
            "arn:aws:s3:::b/models/${$}probe/*",
        ]


@pytest.mark.parametrize("role", Role)
def test_items_are_written_in_transactions_and_listing_has_no_condition(role: Role) -> None:
    """S3 weighs listing when an object is missing: without it the answer is 403, and no prefix is named then."""
    document = {"Statement": statements(role)}
    for action in {"dynamodb:PutItem", "dynamodb:DeleteItem"} & {action for action, _ in granted(role)}:
        assert allows(document, Access(action, f"{TABLES}/t", IN_TRANSACTION))
        assert not allows(document, Access(action, f"{TABLES}/t"))
    assert allows(document, Access("s3:ListBucket", "arn:aws:s3:::b"))


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_arns_are_of_the_partition_of_the_region(monkeypatch: pytest.MonkeyPatch, region: str, partition: str) -> None:
    monkeypatch.setenv("MODELKEEP_BUCKET", "models")
    monkeypatch.setenv("AWS_REGION", region)
    for options in (["--region", region], []):
        for role in Role:
            printed = CliRunner().invoke(commands, ["iam-policy", role, *options])
            resources = [found for each in json.loads(printed.output)["Statement"] for found in each["Resource"]]
            assert {resource.split(":")[1] for resource in resources} == {partition}


def test_no_region_means_the_standard_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert partition_of("*") == "aws"


def test_what_is_no_region_is_refused() -> None:
    with pytest.raises(ValueError, match="'Frankfurt' is no AWS region"):
        partition_of("Frankfurt")
