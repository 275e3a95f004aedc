"""Which access a request to DynamoDB or S3 asks IAM for.

The actions of S3's operations: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
Those of a transaction: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
All other operations of DynamoDB are called as their actions are.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.support.faults.proxy import Request
from tests.support.iam import Access
from tests.support.iam_reference import condition_keys

ACCOUNT = "123456789012"

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>\w+)/aws4_request")
_ENCLOSING = "dynamodb:EnclosingOperation"
_MEMBERS = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}

_BUCKET_ACTIONS = {
    "HEAD": "ListBucket",
    "PUT": "CreateBucket",
    "GET list-type": "ListBucket",
    "GET versions": "ListBucketVersions",
    "GET uploads": "ListBucketMultipartUploads",
    "GET versioning": "GetBucketVersioning",
    "PUT versioning": "PutBucketVersioning",
    "GET publicAccessBlock": "GetBucketPublicAccessBlock",
    "PUT publicAccessBlock": "PutBucketPublicAccessBlock",
    "GET lifecycle": "GetLifecycleConfiguration",
    "PUT lifecycle": "PutLifecycleConfiguration",
}
_OBJECT_ACTIONS = {
    "HEAD": "GetObject",
    "HEAD versionId": "GetObjectVersion",
    "GET": "GetObject",
    "GET versionId": "GetObjectVersion",
    "GET uploadId": "ListMultipartUploadParts",
    "PUT": "PutObject",
    "PUT uploadId": "PutObject",
    "POST uploads": "PutObject",
    "POST uploadId": "PutObject",
    "DELETE": "DeleteObject",
    "DELETE versionId": "DeleteObjectVersion",
    "DELETE uploadId": "AbortMultipartUpload",
}
_SUBRESOURCES = {words[1] for operation in [*_BUCKET_ACTIONS, *_OBJECT_ACTIONS] if len(words := operation.split()) > 1}


def accesses(request: Request) -> list[Access]:
    """Every access that a request needs; the signer's rights are asked for, also by a presigned URL.

    What is not signed, and what is not known here, asks for something that no policy grants.
    """
    scope = _SCOPE.search(unquote(request.headers.get("authorization") or request.query))
    if scope is None:
        return [Access("unsigned", request.path)]
    if scope["service"] == "s3":
        return [_of_s3(request)]
    return _of_dynamodb(request, f"arn:aws:dynamodb:{scope['region']}:{ACCOUNT}:table")


def listing(request: Request) -> Access | None:
    """The access without which S3 does not tell that an object is missing; `None` if the request reads no object.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    bucket, _, key = request.path.lstrip("/").partition("/")
    reads = "x-amz-target" not in request.headers and request.method in {"GET", "HEAD"} and key
    return Access("s3:ListBucket", f"arn:aws:s3:::{bucket}") if reads else None


def _of_s3(request: Request) -> Access:
    place = unquote(request.path.strip("/"))
    actions = _OBJECT_ACTIONS if "/" in place else _BUCKET_ACTIONS
    named = _SUBRESOURCES & parse_qs(request.query, keep_blank_values=True).keys()
    operation = " ".join([request.method, *sorted(named)])
    return Access(f"s3:{actions.get(operation, operation)}", f"arn:aws:s3:::{place}")


def _of_dynamodb(request: Request, tables: str) -> list[Access]:
    operation, body = request.headers["x-amz-target"].partition(".")[2], json.loads(request.body)
    if operation == "TransactWriteItems":
        return [_of_member(member, operation, tables) for member in body["TransactItems"]]
    if operation in {"BatchGetItem", "BatchWriteItem"}:
        return [Access(f"dynamodb:{operation}", f"{tables}/{name}") for name in body["RequestItems"]]
    index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
    return [Access(f"dynamodb:{operation}", f"{tables}/{body['TableName']}{index}")]


def _of_member(member: Mapping[str, Any], operation: str, tables: str) -> Access:
    """A condition can ask for the enclosing operation where the reference gives that key to the member's action."""
    ((kind, write),) = member.items()
    action = f"dynamodb:{_MEMBERS[kind]}"
    context = {_ENCLOSING: [operation]} if _ENCLOSING in condition_keys(action) else {}
    return Access(action, f"{tables}/{write['TableName']}", context)
