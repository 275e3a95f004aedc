"""Whether the table and the bucket on AWS are set to what the registry's promises rest on."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from modelkeep.services.maintenance import findings
from modelkeep.services.maintenance.findings import Finding
from modelkeep.settings import Settings
from modelkeep.storage.table import TTL

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

    from modelkeep.storage.aws.dynamodb_inspection import TableInspection
    from modelkeep.storage.aws.s3_inspection import BucketInspection

Check = tuple[str, Callable[[], Awaitable[Finding | None]]]
"""The setting, as a person calls it, and what finds a fault in it."""


async def check_storage(settings: Settings) -> AsyncGenerator[Finding, None]:
    """Every setting that is not as it must be, and each that the role may not read. Raises `UnavailableError`.

    A server that is not AWS may lack a setting: that is no fault.
    """
    # What `local` never needs costs a second to import.
    from modelkeep.storage.aws import dynamodb, s3_clients  # noqa: PLC0415
    from modelkeep.storage.aws.dynamodb_inspection import TableInspection  # noqa: PLC0415
    from modelkeep.storage.aws.errors import Resource  # noqa: PLC0415
    from modelkeep.storage.aws.s3_inspection import BucketInspection  # noqa: PLC0415
    from modelkeep.storage.aws.session import new_session  # noqa: PLC0415

    session, bucket = new_session(), settings.bucket or ""
    async with dynamodb.open_client(session, settings.table) as client:
        for finding in await _found(_table_checks(TableInspection(client, settings.table), settings.table)):
            yield finding
    async with s3_clients.open_client(session, Resource("bucket", bucket, session.region_name)) as (talking, _):
        for finding in await _found(_bucket_checks(BucketInspection(talking, bucket), bucket)):
            yield finding


async def check_replicas(client: "DynamoDBClient", table: str) -> Sequence[Finding]:
    """What a global table breaks; nothing for a table of one region, or for none. Raises `UnavailableError`."""
    from modelkeep.storage.aws.dynamodb_inspection import TableInspection  # noqa: PLC0415 -- as above

    return await _found(_table_checks(TableInspection(client, table), table)[:1])


def _table_checks(inspection: "TableInspection", table: str) -> Sequence[Check]:
    async def replicas() -> Finding | None:
        replication = await inspection.replication()
        if replication is None:
            return None
        kind = findings.StronglyConsistentReplicas if replication.is_strong else findings.EventuallyConsistentReplicas
        return kind(table, replication.regions)

    async def expiry() -> Finding | None:
        attribute = await inspection.expiry_attribute()
        return None if attribute == TTL else findings.ExpiryMismatch(table, attribute)

    async def backups() -> Finding | None:
        return None if await inspection.keeps_backups() else findings.BackupsOff(table)

    return (
        ("the table's replicas", replicas),
        ("the table's expiry", expiry),
        ("the table's point-in-time recovery", backups),
    )


def _bucket_checks(inspection: "BucketInspection", bucket: str) -> Sequence[Check]:
    async def versioning() -> Finding | None:
        state = await inspection.versioning()
        return None if state == "on" else findings.VersioningOff(bucket, state)

    async def unfinished() -> Finding | None:
        return None if await inspection.ends_unfinished_uploads() else findings.UnfinishedUploadsKept(bucket)

    async def access() -> Finding | None:
        is_open = await inspection.open_access()
        return findings.PublicAccessAllowed(bucket, is_open) if is_open else None

    async def policy() -> Finding | None:
        return findings.PublicPolicy(bucket) if await inspection.has_public_policy() else None

    return (
        ("the bucket's versioning", versioning),
        ("the bucket's lifecycle rules", unfinished),
        ("the bucket's public access block", access),
        ("the bucket's policy", policy),
    )


async def _found(checks: Sequence[Check]) -> list[Finding]:
    from modelkeep.storage.aws.inspection import SettingUnreadableError, SettingUnsupportedError  # noqa: PLC0415

    found: list[Finding] = []
    for setting, check in checks:
        try:
            fault = await check()
        except SettingUnreadableError as error:
            fault = findings.NotChecked(setting, str(error))
        except SettingUnsupportedError:
            continue
        found += [fault] if fault else []
    return found
