"""What a table is set to, for the check: nothing is changed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelkeep.storage.aws.errors import Resource
from modelkeep.storage.aws.inspection import reading_setting

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

_ON: Final = frozenset({"ENABLED", "ENABLING"})


@dataclass(frozen=True, slots=True)
class Replication:
    """The other regions of a global table, and whether they are strongly consistent (MRSC) or eventually (MREC)."""

    regions: tuple[str, ...]
    is_strong: bool


class TableInspection:
    """Reads settings. Each method may raise `SettingUnreadableError`, `SettingUnsupportedError`, `UnavailableError`."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name
        self._resource = Resource("table", name, client.meta.region_name, client.meta.endpoint_url)

    async def expiry_attribute(self) -> str | None:
        """The attribute by which items expire; `None` if none does."""
        with reading_setting(self._resource):
            answer = await self._client.describe_time_to_live(TableName=self._name)
        description = answer["TimeToLiveDescription"]
        return description.get("AttributeName") if description.get("TimeToLiveStatus") in _ON else None

    async def keeps_backups(self) -> bool:
        """Whether point-in-time recovery is on."""
        with reading_setting(self._resource):
            answer = await self._client.describe_continuous_backups(TableName=self._name)
        recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        return recovery.get("PointInTimeRecoveryStatus") == "ENABLED"

    async def replication(self) -> Replication | None:
        """The replicas; `None` if the table is in this region alone, or does not exist.

        A global table of version 2017.11.29 (legacy) does not show them.
        Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
        """
        with reading_setting(self._resource):
            try:
                table = (await self._client.describe_table(TableName=self._name))["Table"]
            except self._client.exceptions.ResourceNotFoundException:
                return None
        places = [replica.get("RegionName", "") for replica in table.get("Replicas", [])]
        places += [witness.get("RegionName", "") for witness in table.get("GlobalTableWitnesses", [])]
        regions = tuple(sorted(set(places) - {"", self._resource.region}))
        return Replication(regions, table.get("MultiRegionConsistency") == "STRONG") if regions else None
