"""How the table's setup waits for AWS, which no local server makes it do."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from modelkeep.storage.aws import dynamodb_setup
from modelkeep.storage.aws.dynamodb_setup import set_up_table
from modelkeep.storage.table import TableUnavailableError


class ResourceInUseError(ClientError):
    pass


class ResourceNotFoundError(ClientError):
    pass


class BackupsUnavailableError(ClientError):
    pass


KEYS = [{"AttributeName": "model_name", "KeyType": "HASH"}, {"AttributeName": "version", "KeyType": "RANGE"}]
TYPES = [{"AttributeName": "model_name", "AttributeType": "S"}, {"AttributeName": "version", "AttributeType": "N"}]


def failure(kind: type[ClientError], code: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return kind(response, "X")


def described(status: str = "ACTIVE", **indexes: str) -> dict[str, Any]:
    names = {name.replace("_", "-"): state for name, state in indexes.items()}
    return {
        "TableName": "registry",
        "TableStatus": status,
        "KeySchema": KEYS,
        "AttributeDefinitions": TYPES,
        "DeletionProtectionEnabled": True,
        "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "GlobalSecondaryIndexes": [{"IndexName": name, "IndexStatus": state} for name, state in names.items()],
    }


COMPLETE = described(stage_index="ACTIVE", catalog_index="ACTIVE")


class Aws:
    """A client whose table and backups go through these states, the last for ever."""

    exceptions = SimpleNamespace(
        ResourceInUseException=ResourceInUseError,
        ResourceNotFoundException=ResourceNotFoundError,
        ContinuousBackupsUnavailableException=BackupsUnavailableError,
    )
    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="http://dynamodb.example")

    def __init__(self, *tables: Any, backups: tuple[Any, ...] = (None,), created: ClientError | None = None) -> None:
        self._tables = list(tables)
        self._backups = list(backups)
        self._created = created
        self.updates: list[Any] = []

    async def create_table(self, **_: Any) -> None:
        if self._created:
            raise self._created

    async def describe_table(self, **_: Any) -> Any:
        return {"Table": following(self._tables)}

    async def update_table(self, **update: Any) -> None:
        self.updates.append(update)

    async def describe_time_to_live(self, **_: Any) -> Any:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}}

    async def describe_continuous_backups(self, **_: Any) -> Any:
        return {"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "DISABLED"}}

    async def update_continuous_backups(self, **_: Any) -> None:
        following(self._backups)


def following(states: list[Any]) -> Any:
    state = states.pop(0) if len(states) > 1 else states[0]
    if isinstance(state, Exception):
        raise state
    return state


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_setup, "_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(dynamodb_setup, "_BACKUP_TIMEOUT_SECONDS", 0.2)


async def set_up(aws: Any) -> list[str]:
    return [sentence async for sentence in set_up_table(aws, "registry")]


async def test_a_new_table_is_awaited() -> None:
    unseen = failure(ResourceNotFoundError, "ResourceNotFoundException")
    told = await set_up(Aws(unseen, described("CREATING"), COMPLETE))
    assert told[0] == "Table 'registry' is created, billed by request."


async def test_a_new_index_is_awaited_until_it_can_be_read() -> None:
    recipe = described(stage_index="ACTIVE")
    building = described(stage_index="ACTIVE", catalog_index="CREATING")
    aws = Aws(recipe, recipe, recipe, recipe, building, COMPLETE)
    told = await set_up(aws)
    assert told[2] == "Index 'catalog-index' is added."
    assert [update["GlobalSecondaryIndexUpdates"][0]["Create"]["IndexName"] for update in aws.updates] == [
        "catalog-index"
    ]


async def test_an_index_that_takes_too_long_is_told() -> None:
    building = described(stage_index="ACTIVE", catalog_index="CREATING")
    with pytest.raises(TableUnavailableError, match="still being built"):
        await set_up(Aws(building))


async def test_backups_of_a_new_table_are_asked_for_again() -> None:
    not_yet = failure(BackupsUnavailableError, "ContinuousBackupsUnavailableException")
    told = await set_up(Aws(COMPLETE, backups=(not_yet, not_yet, None)))
    assert "Point-in-time recovery is on." in told


async def test_backups_that_never_come_are_told() -> None:
    never = failure(BackupsUnavailableError, "ContinuousBackupsUnavailableException")
    with pytest.raises(TableUnavailableError, match="could not serve table 'registry'"):
        await set_up(Aws(COMPLETE, backups=(never,)))


async def test_a_role_that_may_not_create_a_table_is_told() -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "CreateTable")
    with pytest.raises(TableUnavailableError, match="lacks dynamodb:CreateTable on table 'registry'"):
        await set_up(Aws(COMPLETE, created=denied))
