"""The policies hold what the code calls: every operation of a client in `app/storage`, and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.operate.policies import Role, Statement, policy
from app.storage.aws.client import _ACTIONS

STORAGE = Path(__file__).parents[2] / "app" / "storage" / "aws"
OPERATORS = {"scan": Role.MIGRATE, "delete": Role.SWEEP, "list_objects": Role.SWEEP, "list_multiparts": Role.SWEEP}
"""Methods of the drivers that no request leads to, and the first role that needs them; the later ones do as well."""

TRANSACTION = {"PutItem", "DeleteItem", "ConditionCheckItem"}
OF_A_VERSION = {"GetObject": "GetObjectVersion", "DeleteObject": "DeleteObjectVersion"}
"""What else an operation needs where it names a version of an object."""

NAMES = {**_ACTIONS, "HeadObject": "GetObject"}
"""The action of an operation, where it is called otherwise."""

NO_OPERATION = {"get_paginator", "generate_presigned_url"}


def calls(function: ast.AST) -> Iterator[str]:
    """The operations, as botocore's methods, that a function asks of a client, signs for, or pages through."""
    for node in ast.walk(function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if name == "get_paginator":
            yield str(texts[0])
        elif name == "_presign":
            yield str(texts[1])
        elif getattr(owner, "attr", getattr(owner, "id", "")) in {"client", "_client"} and name not in NO_OPERATION:
            yield name


def actions(service: str, operations: Iterator[str]) -> set[str]:
    found = set()
    for operation in operations:
        pascal = "".join(word.capitalize() for word in operation.split("_"))
        if pascal == "TransactWriteItems":
            found |= TRANSACTION
            continue
        action = NAMES.get(pascal, pascal)
        found |= {action} | ({OF_A_VERSION[action]} if action in OF_A_VERSION else set())
    return {f"{service}:{action}" for action in found}


def needed(role: Role) -> set[str]:
    """What the code that runs under a role needs."""
    found: set[str] = set()
    for module in [*STORAGE.glob("dynamodb*.py"), *STORAGE.glob("s3*.py")]:
        service = module.stem.partition("_")[0]
        setting_up = module.stem.endswith(("_setup", "_probe"))
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                least = Role.INIT if setting_up else OPERATORS.get(node.name, Role.SERVE)
                if list(Role).index(least) <= list(Role).index(role):
                    found |= actions(service, calls(node))
    return found


def statements(role: Role) -> list[Statement]:
    found: list[Statement] = policy(role, table="t", bucket="b", account="*", region="*")["Statement"]
    return found


def granted(role: Role) -> set[str]:
    return {action for statement in statements(role) for action in statement["Action"]}


def test_the_calls_are_found() -> None:
    assert {"dynamodb:GetItem", "dynamodb:PutItem", "s3:PutObject", "s3:ListMultipartUploadParts"} <= needed(Role.SERVE)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_its_code_does(role: Role) -> None:
    assert needed(role) - granted(role) == set()


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_nothing_else(role: Role) -> None:
    telling_missing_from_forbidden = {"s3:ListBucket"}
    assert granted(role) - needed(role) - telling_missing_from_forbidden == set()


def test_the_service_can_neither_remove_bytes_nor_read_the_whole_table() -> None:
    assert not [action for action in granted(Role.SERVE) if "DeleteObject" in action or "Scan" in action]


def test_who_migrates_reads_the_whole_table_and_removes_nothing() -> None:
    assert granted(Role.MIGRATE) - granted(Role.SERVE) == {"dynamodb:Scan"}
    assert not [action for action in granted(Role.MIGRATE) if "DeleteObject" in action]


def test_items_are_written_in_transactions_only() -> None:
    (writing,) = [found for found in statements(Role.INIT) if "dynamodb:PutItem" in found["Action"]]
    assert writing["Condition"] == {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


def test_listing_is_granted_without_a_condition() -> None:
    """S3 weighs it when an object is missing: without it the answer is 403, and no prefix is named then."""
    (listing,) = [found for found in statements(Role.SERVE) if "s3:ListBucket" in found["Action"]]
    assert "Condition" not in listing
    assert listing["Resource"] == ["arn:aws:s3:::b"]
