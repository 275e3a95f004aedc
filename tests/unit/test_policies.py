"""The policies hold what the drivers call and nothing else, in AWS's own words; `tests/e2e/test_iam.py` runs them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelkeep.admin.iam_policies import Role, Statement, policy
from modelkeep.storage.aws.errors import _ACTIONS
from tests.support.iam_reference import condition_keys, resource_types

STORAGE = Path(__file__).parents[2] / "app" / "modelkeep" / "storage" / "aws"

TRANSACTION = {"PutItem", "DeleteItem", "ConditionCheckItem"}
OF_A_VERSION = {"GetObject": "GetObjectVersion", "DeleteObject": "DeleteObjectVersion"}
"""What else an operation needs where it names a version of an object."""

NAMES = {**_ACTIONS, "HeadObject": "GetObject"}
"""The action of an operation, where it is called otherwise."""

PRESIGNED = {"GET": "get_object", "PUT": "put_object"}
"""The operation that a presigned request is weighed as, by its method; a part is put as well."""

NO_OPERATION = {"get_paginator", "generate_presigned_url"}


def calls(function: ast.AST) -> Iterator[str]:
    """The operations, as botocore's methods, that code asks of a client, signs for, or pages through."""
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if name == "get_paginator":
            yield str(texts[0])
        elif name == "_presign":
            yield PRESIGNED[str(texts[0])]
        elif getattr(owner, "attr", getattr(owner, "id", "")) in {"client", "_client"} and name not in NO_OPERATION:
            yield name


def needed() -> set[str]:
    """The actions of all operations that the drivers call."""
    found: set[str] = set()
    for module in [*STORAGE.glob("dynamodb*.py"), *STORAGE.glob("s3*.py")]:
        service = module.stem.partition("_")[0]
        for operation in calls(ast.parse(module.read_text())):
            pascal = "".join(word.capitalize() for word in operation.split("_"))
            action = NAMES.get(pascal, pascal)
            actions = TRANSACTION if action == "TransactWriteItems" else {action, OF_A_VERSION.get(action, action)}
            found |= {f"{service}:{name}" for name in actions}
    return found


def statements(role: Role) -> list[Statement]:
    found: list[Statement] = policy(role, table="t", bucket="b", account="*", region="*")["Statement"]
    return found


def granted(role: Role) -> set[str]:
    return {action for statement in statements(role) for action in statement["Action"]}


def statement_of(role: Role, action: str) -> Statement:
    (found,) = [statement for statement in statements(role) if action in statement["Action"]]
    return found


EVERY_STATEMENT = [
    pytest.param(statement, id=f"{role}-{statement['Sid']}") for role in Role for statement in statements(role)
]


def test_the_roles_together_may_do_what_the_drivers_call() -> None:
    assert {"dynamodb:PutItem", "s3:PutObject", "s3:ListMultipartUploadParts"} <= needed()
    assert set().union(*map(granted, Role)) == needed()


def kind_of(resource: str) -> str:
    _, _, service, _, _, name = resource.split(":")
    if service == "s3":
        return "object" if "/" in name else "bucket"
    return "index" if "/index/" in name else "table"


@pytest.mark.parametrize("statement", EVERY_STATEMENT)
def test_a_statement_is_about_one_resource_that_its_actions_take(statement: Statement) -> None:
    """What an action takes, and what a condition on it may ask, is looked up in AWS's own reference."""
    (resource,) = statement["Resource"]
    for action in statement["Action"]:
        assert kind_of(resource) in resource_types(action), action
        for keys in statement.get("Condition", {}).values():
            assert keys.keys() <= condition_keys(action), action


@pytest.mark.parametrize("role", Role)
def test_no_action_is_granted_twice_on_a_resource(role: Role) -> None:
    each = [(action, *statement["Resource"]) for statement in statements(role) for action in statement["Action"]]
    assert len(each) == len(set(each))
    assert len({statement["Sid"] for statement in statements(role)}) == len(statements(role))


def test_the_service_can_neither_remove_bytes_nor_read_the_whole_table() -> None:
    assert not [action for action in granted(Role.SERVE) if "DeleteObject" in action or "Scan" in action]


def test_who_migrates_reads_the_whole_table_and_removes_nothing() -> None:
    assert granted(Role.MIGRATE) - granted(Role.SERVE) == {"dynamodb:Scan"}


def test_who_sweeps_stores_nothing() -> None:
    assert not [action for action in granted(Role.SWEEP) if "PutObject" in action]


def test_who_initialises_writes_and_removes_no_bytes_but_its_own() -> None:
    for action in ("s3:PutObject", "s3:DeleteObjectVersion"):
        assert statement_of(Role.INIT, action)["Resource"] == ["arn:aws:s3:::b/models/${$}probe/*"]
    assert "s3:DeleteObject" not in granted(Role.INIT)


@pytest.mark.parametrize("role", Role)
def test_items_are_written_in_transactions_only(role: Role) -> None:
    for action in {"dynamodb:PutItem", "dynamodb:DeleteItem"} & granted(role):
        assert statement_of(role, action)["Condition"] == {
            "ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}
        }


@pytest.mark.parametrize("role", Role)
def test_listing_is_granted_without_a_condition(role: Role) -> None:
    """S3 weighs it when an object is missing: without it the answer is 403, and no prefix is named then."""
    listing = statement_of(role, "s3:ListBucket")
    assert "Condition" not in listing
    assert listing["Resource"] == ["arn:aws:s3:::b"]
