"""Creates and configures a bucket for the registry. Idempotent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.storage.aws.errors import Resource, code_of
from modelkeep.storage.aws.inspection import is_unsupported
from modelkeep.storage.aws.s3_clients import translate_errors
from modelkeep.storage.objects import StoreUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_ABSENT: Final = frozenset({"404", "NoSuchBucket"})
_DEFAULT_REGION: Final = "us-east-1"

_PUBLIC_ACCESS_BLOCK: Final = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}

_RULES: Final[Sequence[Mapping[str, Any]]] = (
    {
        "ID": "modelkeep-abort-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": KEY_PREFIX},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
)

_RETIRED: Final = frozenset({"modelkeep-expire-deleted-bytes", "model-registry-expire-deleted-bytes"})
"""Rules of earlier releases that dropped object versions which were not the latest: a version may pin one of those."""


async def set_up_bucket(client: "S3Client", bucket: str, region: str) -> AsyncIterator[str]:
    """Set the bucket up; yields a sentence for each step. Raises `StoreUnavailableError`."""
    resource = Resource("bucket", bucket, region, client.meta.endpoint_url)
    with translate_errors(resource):
        yield await _create(client, bucket, region)
        for name, step in _STEPS.items():
            yield await _if_supported(name, step(client, bucket))


async def _if_supported(name: str, step: Awaitable[str]) -> str:
    try:
        return await step
    except ClientError as error:
        if is_unsupported(error):
            return f"{name}: not offered by this server; left out."
        raise


async def _create(client: "S3Client", bucket: str, region: str) -> str:
    if await _exists(client, bucket):
        return f"Bucket '{bucket}' is there already."
    elsewhere: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != _DEFAULT_REGION else {}
    try:
        await client.create_bucket(Bucket=bucket, **elsewhere)
    except ClientError as error:
        return _unless_taken(error, bucket)
    return f"Bucket '{bucket}' was created in {region}."


async def _exists(client: "S3Client", bucket: str) -> bool:
    try:
        await client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return False
        raise
    return True


def _unless_taken(error: ClientError, bucket: str) -> str:
    if code_of(error) == "BucketAlreadyOwnedByYou":
        return f"Bucket '{bucket}' is there already."
    if code_of(error) == "BucketAlreadyExists":
        raise StoreUnavailableError(
            f"Bucket '{bucket}' belongs to another account. Set MODELKEEP_BUCKET to another name."
        )
    raise error


async def _keep_versions(client: "S3Client", bucket: str) -> str:
    if (await client.get_bucket_versioning(Bucket=bucket)).get("Status") == "Enabled":
        return "Versioning is on already."
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return "Versioning was switched on."


async def _block_public_access(client: "S3Client", bucket: str) -> str:
    if not await open_access(client, bucket):
        return "Public access is blocked already."
    await client.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=cast("Any", _PUBLIC_ACCESS_BLOCK)
    )
    return "Public access was blocked."


async def open_access(client: "S3Client", bucket: str) -> tuple[str, ...]:
    """The settings of the bucket's public access block that are off. Raises what the client raises."""
    present: Mapping[str, Any] = {}
    with _suppressed("NoSuchPublicAccessBlockConfiguration"):
        answer = await client.get_public_access_block(Bucket=bucket)
        present = cast("Mapping[str, Any]", answer["PublicAccessBlockConfiguration"])
    return tuple(name for name in _PUBLIC_ACCESS_BLOCK if present.get(name) is not True)


async def _set_lifecycle_rules(client: "S3Client", bucket: str) -> str:
    present = await lifecycle(client, bucket)
    names = [rule.get("ID") for rule in present.get("Rules", [])]
    added = [rule for rule in _RULES if rule["ID"] not in names]
    removed = sorted(_RETIRED.intersection(names))
    if not added and not removed:
        return "Lifecycle rules are as they should be already."
    rules: Any = [*(rule for rule in present.get("Rules", []) if rule.get("ID") not in _RETIRED), *added]
    unchanged: Any = {key: present[key] for key in ("TransitionDefaultMinimumObjectSize",) if key in present}
    await client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules}, **unchanged)
    changes = {"added": [rule["ID"] for rule in added], "removed": removed}
    return "; ".join(f"Lifecycle rules were {did}: {', '.join(rules)}" for did, rules in changes.items() if rules) + "."


async def lifecycle(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    """The bucket's lifecycle configuration; empty if there is none. Raises what the client raises."""
    with _suppressed("NoSuchLifecycleConfiguration"):
        return cast("Mapping[str, Any]", await client.get_bucket_lifecycle_configuration(Bucket=bucket))
    return {}


@contextmanager
def _suppressed(code: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) != code:
            raise


_STEPS: Final[Mapping[str, Callable[["S3Client", str], Awaitable[str]]]] = {
    "Versioning": _keep_versions,
    "Blocking public access": _block_public_access,
    "Lifecycle rules": _set_lifecycle_rules,
}
