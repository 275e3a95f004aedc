"""Translates the refusals of S3 that callers of the `ObjectStore` expect; any other means that it is unavailable."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import ClientError

from modelkeep.storage.aws.errors import Resource, code_of
from modelkeep.storage.aws.s3_clients import translate_errors
from modelkeep.storage.objects import MultipartGoneError, MultipartRefusedError, ObjectGoneError

_NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_GONE: Final = frozenset({"NoSuchUpload", "ConditionalRequestConflict"})
"""After a 409 on CompleteMultipartUpload, S3 wants the multipart upload begun anew and every part sent again.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

_REFUSED: Final = frozenset(
    {
        "BadDigest",
        "EntityTooSmall",
        "InvalidPart",
        "InvalidPartOrder",
        "InvalidRequest",
        "OperationAborted",
        "PreconditionFailed",
    }
)


@contextmanager
def translate_multipart_errors(resource: Resource) -> Iterator[None]:
    """Raises `MultipartGoneError`, `MultipartRefusedError`, `StoreUnavailableError`."""
    with translate_errors(resource):
        try:
            yield
        except ClientError as error:
            if code_of(error) in _GONE:
                raise MultipartGoneError from None
            if code_of(error) in _REFUSED:
                raise MultipartRefusedError from None
            raise


@contextmanager
def translate_absence(resource: Resource) -> Iterator[None]:
    """Raises `ObjectGoneError`, `StoreUnavailableError`."""
    with translate_errors(resource):
        try:
            yield
        except ClientError as error:
            if code_of(error) in _NOT_FOUND:
                raise ObjectGoneError from None
            raise
