"""The rules of IAM by which the tests hold the policies: what is allowed, and what is not."""

from typing import Any

import pytest

from tests.support.iam import Access, allows

PUT = Access("dynamodb:PutItem", "arn:aws:dynamodb:eu-west-1:123456789012:table/t")
IN_TRANSACTIONS = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


def statement(
    action: str = "dynamodb:PutItem", resource: str = PUT.resource, *, effect: str = "Allow", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Action": [action], "Resource": [resource], **more}


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([statement()], True),
        ([statement("DynamoDB:putitem")], True),
        ([statement("dynamodb:Put*")], True),
        ([statement("dynamodb:Get*")], False),
        ([statement("s3:PutItem")], False),
        ([statement(resource="arn:aws:dynamodb:*:*:table/t")], True),
        ([statement(resource="arn:aws:dynamodb:*:*:table/?")], True),
        ([statement(resource="arn:aws:dynamodb:*:table/t")], False),
        ([statement(resource=f"{PUT.resource}/index/*")], False),
        ([statement(resource=PUT.resource.upper())], False),
        ([statement(resource="arn:aws:dynamodb:*:*:table/${*}")], False),
        ([statement(), statement(effect="Deny")], False),
        ([statement(), statement("dynamodb:GetItem", effect="Deny")], True),
        ([statement(Condition=IN_TRANSACTIONS)], False),
    ],
)
def test_a_policy_allows_what_a_statement_allows_and_none_denies(
    statements: list[dict[str, Any]], *, allowed: bool
) -> None:
    assert allows({"Statement": statements}, PUT) is allowed


@pytest.mark.parametrize(
    ("enclosing", "allowed"), [([], False), (["BatchWriteItem"], False), (["TransactWriteItems"], True)]
)
def test_a_condition_holds_for_the_values_it_names(enclosing: list[str], *, allowed: bool) -> None:
    access = Access(PUT.action, PUT.resource, {"dynamodb:EnclosingOperation": enclosing})
    assert allows({"Statement": [statement(Condition=IN_TRANSACTIONS)]}, access) is allowed


def test_a_dollar_sign_is_spelled_as_a_variable() -> None:
    probe = statement("s3:PutObject", "arn:aws:s3:::b/models/${$}probe/*")
    assert allows({"Statement": [probe]}, Access("s3:PutObject", "arn:aws:s3:::b/models/$probe/x"))
    assert not allows({"Statement": [probe]}, Access("s3:PutObject", "arn:aws:s3:::b/models/aprobe/x"))
