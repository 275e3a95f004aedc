"""The definition of the DynamoDB table, and its creation.

              partition key    sort key       contains
the table     model_name (S)   version (N)    everything
stage-index   model_name       stage (S)      everything; as in the public recipe
catalog-index catalog (S)      model_name     keys only
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from modelkeep.storage.aws.errors import FAILURES, Resource, explain
from modelkeep.storage.aws.inspection import is_unsupported
from modelkeep.storage.table import CATALOG_INDEX, PARTITION, SORT, STAGE_INDEX, TTL, Index, TableUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import TableDescriptionTypeDef

_INDEXES: Final = (STAGE_INDEX, CATALOG_INDEX)
_KEYS: Final = [{"AttributeName": PARTITION, "KeyType": "HASH"}, {"AttributeName": SORT, "KeyType": "RANGE"}]
_TIMEOUT_SECONDS: Final = 900
_BACKUP_TIMEOUT_SECONDS: Final = 30


async def set_up_table(client: "DynamoDBClient", name: str) -> AsyncIterator[str]:
    """Create the table, or add what an existing one lacks; yields a sentence for each step. Idempotent.

    Raises `TableUnavailableError`, also for a table with other keys.
    """
    try:
        async for sentence in _set_up(client, name):
            yield sentence
    except FAILURES as error:
        resource = Resource("table", name, client.meta.region_name, client.meta.endpoint_url)
        raise TableUnavailableError(explain(error, resource)) from error


async def _set_up(client: "DynamoDBClient", name: str) -> AsyncIterator[str]:
    yield await _create(client, name)
    for index in _INDEXES:
        yield await _add_index(client, name, index)
    yield await _if_supported("Expiry", _expire(client, name))
    yield await _if_supported("Point-in-time recovery", _keep_backups(client, name))
    yield await _if_supported("Deletion protection", _protect(client, name))


async def _create(client: "DynamoDBClient", name: str) -> str:
    try:
        await client.create_table(**_definition(name))
    except client.exceptions.ResourceInUseException:
        _check_keys(await _until_active(client, name))
        return f"Table '{name}' was there."
    await _until_active(client, name)
    return f"Table '{name}' is created, billed by request."


def _check_keys(table: "TableDescriptionTypeDef") -> None:
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
    if table["KeySchema"] != _KEYS or (types.get(PARTITION), types.get(SORT)) != ("S", "N"):
        raise TableUnavailableError(
            f"Table '{table['TableName']}' belongs to another program: its keys are not {PARTITION} (text) and"
            f" {SORT} (number). Set MODELKEEP_TABLE to another name."
        )


async def _add_index(client: "DynamoDBClient", name: str, index: Index) -> str:
    table = await _until_active(client, name)
    if index.name in _index_names(table):
        return f"Index '{index.name}' is there."
    await client.update_table(
        TableName=name,
        AttributeDefinitions=_attributes(PARTITION, SORT, index.partition, index.sort),
        GlobalSecondaryIndexUpdates=[{"Create": _index(index) | _throughput(table)}],
    )
    await _until_active(client, name, index)
    return f"Index '{index.name}' is added."


async def _expire(client: "DynamoDBClient", name: str) -> str:
    answer = await client.describe_time_to_live(TableName=name)
    description = answer["TimeToLiveDescription"]
    if description.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}:
        return f"Expiry by '{description.get('AttributeName', TTL)}' was on."
    await client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})
    return f"Expiry by '{TTL}' is on."


async def _keep_backups(client: "DynamoDBClient", name: str) -> str:
    answer = await client.describe_continuous_backups(TableName=name)
    recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
        return "Point-in-time recovery was on."
    await _enable_backups(client, name)
    return "Point-in-time recovery is on."


async def _enable_backups(client: "DynamoDBClient", name: str) -> None:
    """Enable backups; a new table refuses for some seconds."""
    async for last in _polls(_BACKUP_TIMEOUT_SECONDS):
        try:
            await client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
        except client.exceptions.ContinuousBackupsUnavailableException:
            if last:
                raise
        else:
            return


async def _protect(client: "DynamoDBClient", name: str) -> str:
    table = await _until_active(client, name)
    if table.get("DeletionProtectionEnabled"):
        return "Deletion protection was on."
    await client.update_table(TableName=name, DeletionProtectionEnabled=True)
    await _until_active(client, name)
    return "Deletion protection is on."


async def _if_supported(what: str, step: Awaitable[str]) -> str:
    try:
        return await step
    except ClientError as error:
        if not is_unsupported(error):
            raise
        return f"{what} is not known to this server."


async def _until_active(client: "DynamoDBClient", name: str, index: Index | None = None) -> "TableDescriptionTypeDef":
    """Wait until the table and all its indexes, `index` among them, are active."""
    async for _ in _polls(_TIMEOUT_SECONDS):
        table = await _describe(client, name)
        if table is not None and _is_ready(table, index):
            return table
    raise TableUnavailableError(f"Table '{name}' or an index of it is still being built. Run this again later.")


async def _describe(client: "DynamoDBClient", name: str) -> "TableDescriptionTypeDef | None":
    """The description of the table; a new table may not have one yet."""
    try:
        return (await client.describe_table(TableName=name))["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None


async def _polls(seconds: float) -> AsyncIterator[bool]:
    """Yields, after growing pauses, until `seconds` have passed; whether it is the last time."""
    waited = 0.0
    pause = 0.05
    while waited < seconds:
        yield waited + pause >= seconds
        await asyncio.sleep(pause)
        waited += pause
        pause = min(2 * pause, 5)


def _is_ready(table: "TableDescriptionTypeDef", index: Index | None) -> bool:
    states = {table["TableStatus"], *(index["IndexStatus"] for index in table.get("GlobalSecondaryIndexes", []))}
    return states == {"ACTIVE"} and (index is None or index.name in _index_names(table))


def _index_names(table: "TableDescriptionTypeDef") -> set[str]:
    return {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", [])}


def _throughput(table: "TableDescriptionTypeDef") -> dict[str, Any]:
    """The throughput that a new index must declare: that of the table, unless the table is billed by request."""
    units = {unit: table["ProvisionedThroughput"].get(unit, 0) for unit in ("ReadCapacityUnits", "WriteCapacityUnits")}
    return {"ProvisionedThroughput": units} if all(units.values()) else {}


def _definition(name: str) -> Any:
    return {
        "TableName": name,
        "KeySchema": _KEYS,
        "AttributeDefinitions": _attributes(PARTITION, SORT, STAGE_INDEX.sort, CATALOG_INDEX.partition),
        "GlobalSecondaryIndexes": [_index(index) for index in _INDEXES],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _index(index: Index) -> Any:
    return {
        "IndexName": index.name,
        "KeySchema": [
            {"AttributeName": index.partition, "KeyType": "HASH"},
            {"AttributeName": index.sort, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY" if index is CATALOG_INDEX else "ALL"},
    }


def _attributes(*names: str) -> Any:
    return [{"AttributeName": name, "AttributeType": "N" if name == SORT else "S"} for name in dict.fromkeys(names)]
