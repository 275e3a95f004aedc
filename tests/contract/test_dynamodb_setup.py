"""What `modelkeep init` does to a table, on every DynamoDB engine."""

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.aws.dynamodb_setup import set_up_table
from modelkeep.storage.table import CATALOG_INDEX, ItemKey, Present, Put, TableUnavailableError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

RECIPE: Any = {
    "KeySchema": [
        {"AttributeName": "model_name", "KeyType": "HASH"},
        {"AttributeName": "version", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "model_name", "AttributeType": "S"},
        {"AttributeName": "version", "AttributeType": "N"},
        {"AttributeName": "stage", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "stage-index",
            "KeySchema": [
                {"AttributeName": "model_name", "KeyType": "HASH"},
                {"AttributeName": "stage", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
RECIPE_ITEM: Any = {
    "model_name": {"S": "fraud-detector"},
    "version": {"N": "3"},
    "stage": {"S": "production"},
    "s3_path": {"S": "s3://bucket/models/fraud-detector/v3/model.pt"},
    "metrics": {"M": {"accuracy": {"N": "0.967"}}},
    "labels": {"SS": ["a", "b"]},
    "digest": {"B": b"\x00\xff"},
}


@pytest.fixture
def name() -> str:
    return f"setup-{uuid.uuid4()}"


async def set_up(client: "DynamoDBClient", name: str) -> list[str]:
    return [sentence async for sentence in set_up_table(client, name)]


async def describe(client: "DynamoDBClient", name: str) -> Any:
    return (await client.describe_table(TableName=name))["Table"]


async def test_a_table_is_made_with_both_indexes(dynamodb: "DynamoDBClient", name: str) -> None:
    await set_up(dynamodb, name)
    table = await describe(dynamodb, name)
    assert table["KeySchema"] == RECIPE["KeySchema"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert indexes.keys() == {"stage-index", "catalog-index"}
    assert indexes["stage-index"]["KeySchema"] == RECIPE["GlobalSecondaryIndexes"][0]["KeySchema"]
    assert indexes["stage-index"]["Projection"] == {"ProjectionType": "ALL"}
    assert [key["AttributeName"] for key in indexes["catalog-index"]["KeySchema"]] == ["catalog", "model_name"]
    assert indexes["catalog-index"]["Projection"] == {"ProjectionType": "KEYS_ONLY"}


async def test_items_expire_by_ttl(dynamodb: "DynamoDBClient", name: str) -> None:
    await set_up(dynamodb, name)
    answer = await dynamodb.describe_time_to_live(TableName=name)
    assert answer["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    assert answer["TimeToLiveDescription"]["AttributeName"] == "ttl"


async def test_each_step_is_told_the_first_time_and_the_second(dynamodb: "DynamoDBClient", name: str) -> None:
    first, second = await set_up(dynamodb, name), await set_up(dynamodb, name)
    assert first[0] == f"Table '{name}' is created, billed by request."
    assert second[:4] == [
        f"Table '{name}' was there.",
        "Index 'stage-index' is there.",
        "Index 'catalog-index' is there.",
        "Expiry by 'ttl' was on.",
    ]
    for sentence in second[4:]:
        assert sentence.endswith((" was on.", " is not known to this server."))
    assert len(first) == len(second) == 6


async def test_a_table_from_the_recipe_gains_what_it_lacks(dynamodb: "DynamoDBClient", name: str) -> None:
    await dynamodb.create_table(TableName=name, **RECIPE)
    await dynamodb.put_item(TableName=name, Item=RECIPE_ITEM)
    told = await set_up(dynamodb, name)
    assert told[:3] == [
        f"Table '{name}' was there.",
        "Index 'stage-index' is there.",
        "Index 'catalog-index' is added.",
    ]
    table = DynamoDbTable(dynamodb, name)
    assert (await table.query_index(CATALOG_INDEX, "models", limit=5)).items == []


async def test_a_provisioned_table_gains_an_index_too(dynamodb: "DynamoDBClient", name: str) -> None:
    units: Any = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    bare = {key: value for key, value in RECIPE.items() if key not in {"GlobalSecondaryIndexes", "BillingMode"}}
    bare["AttributeDefinitions"] = RECIPE["AttributeDefinitions"][:2]
    await dynamodb.create_table(TableName=name, ProvisionedThroughput=units, **bare)
    told = await set_up(dynamodb, name)
    assert told[1:3] == ["Index 'stage-index' is added.", "Index 'catalog-index' is added."]


async def test_an_item_from_the_recipe_is_put_back_whole(dynamodb: "DynamoDBClient", name: str) -> None:
    await dynamodb.create_table(TableName=name, **RECIPE)
    await dynamodb.put_item(TableName=name, Item=RECIPE_ITEM)
    table = DynamoDbTable(dynamodb, name)
    found = await table.get(ItemKey("fraud-detector", 3))
    assert found is not None
    await table.transact([Put({**found, "stage": "archived"}, Present())], request_token=str(uuid.uuid4()))
    answer = await dynamodb.get_item(TableName=name, Key={key: RECIPE_ITEM[key] for key in ("model_name", "version")})
    stored = {**answer["Item"], "labels": {"SS": sorted(answer["Item"]["labels"]["SS"])}}
    assert stored == {**RECIPE_ITEM, "stage": {"S": "archived"}}


async def test_a_table_with_other_keys_is_refused(dynamodb: "DynamoDBClient", name: str) -> None:
    other = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    await dynamodb.create_table(TableName=name, **other)  # type: ignore[arg-type]
    with pytest.raises(TableUnavailableError, match="MODELKEEP_TABLE"):
        await set_up(dynamodb, name)


async def test_a_missing_table_is_explained(dynamodb: "DynamoDBClient", name: str) -> None:
    table = DynamoDbTable(dynamodb, name)
    with pytest.raises(
        TableUnavailableError, match=f"table '{name}' does not exist in us-east-1: run `modelkeep init`"
    ):
        await table.get(ItemKey("model", 1))
    with pytest.raises(TableUnavailableError, match="run `modelkeep init`"):
        await table.transact([Put({"model_name": "model", "version": 1}, Present())], request_token=str(uuid.uuid4()))


async def test_a_missing_index_is_explained(dynamodb: "DynamoDBClient", name: str) -> None:
    await dynamodb.create_table(TableName=name, **RECIPE)
    with pytest.raises(TableUnavailableError, match="run `modelkeep init`"):
        await DynamoDbTable(dynamodb, name).query_index(CATALOG_INDEX, "models", limit=5)
