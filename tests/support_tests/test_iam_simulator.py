"""The simulator follows IAM's rules: what a policy allows, and which access a request asks for."""

import json
from typing import Any

import pytest

from tests.support.faults.proxy import Request
from tests.support.iam_simulator import Access, accesses, allows

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
PUT = Access("dynamodb:PutItem", TABLE)
PUT_IN_TRANSACTION = Access(PUT.action, TABLE, {"dynamodb:EnclosingOperation": ["TransactWriteItems"]})
IN_TRANSACTIONS = {"ForAnyValue:StringEquals": {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}}


def statement(action: str = PUT.action, resource: str = TABLE, *, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": [action], "Resource": [resource], **more}


@pytest.mark.parametrize(
    ("statements", "access", "allowed"),
    [
        ([], PUT, False),
        ([statement()], PUT, True),
        ([statement("DynamoDB:putitem")], PUT, True),
        ([statement("dynamodb:Put*")], PUT, True),
        ([statement("dynamodb:Get*")], PUT, False),
        ([statement("s3:PutItem")], PUT, False),
        ([statement(resource="arn:aws:dynamodb:*:*:table/t")], PUT, True),
        ([statement(resource="arn:aws:dynamodb:*:*:table/?")], PUT, True),
        ([statement(resource="arn:aws:dynamodb:*:table/t")], PUT, False),
        ([statement(resource=f"{TABLE}/index/*")], PUT, False),
        ([statement(resource=TABLE.upper())], PUT, False),
        ([statement(resource="arn:aws:dynamodb:*:*:table/${*}")], PUT, False),
        ([statement(), statement(effect="Deny")], PUT, False),
        ([statement(), statement("dynamodb:GetItem", effect="Deny")], PUT, True),
        ([statement(Condition=IN_TRANSACTIONS)], PUT, False),
        ([statement(Condition=IN_TRANSACTIONS)], PUT_IN_TRANSACTION, True),
        ([statement("s3:Get", "arn:aws:s3:::b/${$}x/*")], Access("s3:Get", "arn:aws:s3:::b/$x/y"), True),
        ([statement("s3:Get", "arn:aws:s3:::b/${$}x/*")], Access("s3:Get", "arn:aws:s3:::b/ax/y"), False),
    ],
)
def test_a_policy_allows_what_a_statement_allows_and_none_denies(
    statements: list[dict[str, Any]], access: Access, *, allowed: bool
) -> None:
    assert allows({"Statement": statements}, access) is allowed


def of_s3(method: str, path: str, query: str = "") -> Request:
    return Request(method=method, path=path, query=query, headers={"authorization": SCOPE.format("s3")})


def of_dynamodb(operation: str, **body: Any) -> Request:
    headers = {"authorization": SCOPE.format("dynamodb"), "x-amz-target": f"DynamoDB_20120810.{operation}"}
    return Request(method="POST", path="/", query="", headers=headers, body=json.dumps(body).encode())


SCOPE = "AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/{}/aws4_request, …"
PUT_MEMBER = {"Put": {"TableName": "t"}}


@pytest.mark.parametrize(
    ("came", "asked"),
    [
        (of_dynamodb("PutItem", TableName="t"), PUT),
        (of_dynamodb("TransactWriteItems", TransactItems=[PUT_MEMBER]), PUT_IN_TRANSACTION),
        (of_dynamodb("BatchWriteItem", RequestItems={"t": []}), Access("dynamodb:BatchWriteItem", TABLE)),
        (of_dynamodb("Query", TableName="t", IndexName="i"), Access("dynamodb:Query", f"{TABLE}/index/i")),
        (of_s3("GET", "/b/a%20key", "versionId=1"), Access("s3:GetObjectVersion", "arn:aws:s3:::b/a key")),
        (of_s3("POST", "/b/key", "uploadId=1"), Access("s3:PutObject", "arn:aws:s3:::b/key")),
        (of_s3("GET", "/b", "versions"), Access("s3:ListBucketVersions", "arn:aws:s3:::b")),
        (of_s3("PUT", "/b/key", "versionId=1"), Access("s3:PUT versionId", "arn:aws:s3:::b/key")),
        (Request(method="GET", path="/b/key", query="", headers={}), Access("unsigned", "/b/key")),
    ],
)
def test_a_request_asks_for_an_access(came: Request, asked: Access) -> None:
    assert accesses(came) == [asked]
