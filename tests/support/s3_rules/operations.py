"""Which operation of S3 a request is: by its method, its path and what its query names."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from tests.support.faults.proxy import Request
from tests.support.s3_rules.sigv4 import parameters as read_query

_OBJECT: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("GET", "uploadId"): "ListParts",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "attributes"): "GetObjectAttributes",
}
_BUCKET: Final[Mapping[tuple[str, str], str]] = {
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "list-type"): "ListObjectsV2",
    ("POST", "delete"): "DeleteObjects",
}
_SETTINGS: Final[Mapping[str, str]] = {
    "cors": "BucketCors",
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "location": "BucketLocation",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "publicAccessBlock": "PublicAccessBlock",
    "versioning": "BucketVersioning",
}
_VERBS: Final[Mapping[str, str]] = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "POST": "Post", "DELETE": "Delete"}
_PLAIN: Final[Mapping[str, str]] = {"PUT": "CreateBucket", "GET": "ListObjects"}


def read(request: Request) -> tuple[str, Mapping[str, Any]]:
    """Name the operation, and its bucket, key and query; the bucket is the first word of the path."""
    query = dict(read_query(request.query))
    _, bucket, key = [*unquote(request.path).split("/", 2), ""][:3]
    named = {"Bucket": bucket, "Key": key, "presigned": "X-Amz-Signature" in query, **query}
    return _operation(request.method, key, query), named


def _operation(method: str, key: str, query: Mapping[str, str]) -> str:
    for (of, name), operation in (_OBJECT if key else _BUCKET).items():
        if of == method and name in query:
            return operation
    verb = _VERBS.get(method, method)
    if key:
        return f"{verb}Object"
    for name, setting in _SETTINGS.items():
        if name in query:
            return f"{verb}{setting}"
    return _PLAIN.get(method, f"{verb}Bucket")
