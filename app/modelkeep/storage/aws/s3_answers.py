"""Converts S3's responses to the types of the `ObjectStore`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelkeep.domain.values import Digest
from modelkeep.storage.objects import ObjectVersion, OpenMultipart, StoredObject, StoredPart

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        DeleteMarkerEntryTypeDef,
        HeadObjectOutputTypeDef,
        ListObjectVersionsOutputTypeDef,
        MultipartUploadTypeDef,
        ObjectTypeDef,
        ObjectVersionTypeDef,
        PartTypeDef,
    )


def described(key: str, answer: "HeadObjectOutputTypeDef") -> StoredObject:
    """The object of a response to HeadObject with checksums enabled."""
    sha256, parts_sha256 = read_checksum(answer.get("ChecksumSHA256", ""))
    return StoredObject(
        key=key,
        size=answer["ContentLength"],
        sha256=sha256,
        parts_sha256=parts_sha256,
        version_id=answer.get("VersionId"),
        modified_at=answer["LastModified"],
    )


def read_checksum(checksum: str) -> tuple[Digest | None, Digest | None]:
    """The SHA-256 of a whole object, and that of its parts' SHA-256s: S3 has at most one of them.

    S3 writes the latter, a composite checksum, with a suffix: `<base64>-<number of parts>`.
    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """
    digest, _, part_count = checksum.partition("-")
    if not digest:
        return None, None
    known = Digest.from_s3_checksum(digest)
    return (None, known) if part_count else (known, None)


def listed(entry: "ObjectTypeDef") -> StoredObject:
    """The object of an entry of ListObjectsV2, which has no digest."""
    return StoredObject(
        key=entry["Key"],
        size=entry["Size"],
        sha256=None,
        parts_sha256=None,
        version_id=None,
        modified_at=entry["LastModified"],
    )


def versions(page: "ListObjectVersionsOutputTypeDef") -> Iterator[ObjectVersion]:
    """The versions and markers of a page of ListObjectVersions."""
    for entry in page.get("Versions", []):
        yield _version(entry, is_marker=False)
    for marker in page.get("DeleteMarkers", []):
        yield _version(marker, is_marker=True)


def _version(entry: "ObjectVersionTypeDef | DeleteMarkerEntryTypeDef", *, is_marker: bool) -> ObjectVersion:
    return ObjectVersion(
        key=entry["Key"],
        version_id=entry["VersionId"],
        is_current=entry["IsLatest"],
        is_marker=is_marker,
        modified_at=entry["LastModified"],
    )


def part(entry: "PartTypeDef") -> StoredPart:
    """The part of an entry of ListParts."""
    checksum = entry.get("ChecksumSHA256")
    sha256 = Digest.from_s3_checksum(checksum) if checksum else None
    return StoredPart(number=entry["PartNumber"], size=entry["Size"], sha256=sha256, etag=entry["ETag"])


def open_multipart(entry: "MultipartUploadTypeDef") -> OpenMultipart:
    """The multipart object of an entry of ListMultipartUploads."""
    return OpenMultipart(key=entry["Key"], multipart_id=entry["UploadId"], begun_at=entry["Initiated"])
