"""The registry that many teams have: a class of some fifty lines over boto3, one table, one bucket, no service.

It is written as such classes are, with their weaknesses: a number is taken by reading the highest, and a promotion is
several writes, of which a crash leaves some.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
from boto3.dynamodb.conditions import Key  # type: ignore[import-untyped]

from tests.support.servers import AwsServer


class Recipe:
    """Register, promote, find and download, straight at DynamoDB and S3."""

    def __init__(self, server: AwsServer, table: str, bucket: str) -> None:
        session = boto3.Session(server.access_key, server.secret_key, region_name=server.region)
        self._dynamodb: Any = session.resource("dynamodb", endpoint_url=server.endpoint)
        self._raw: Any = session.client("dynamodb", endpoint_url=server.endpoint)
        self.s3: Any = session.client("s3", endpoint_url=server.endpoint)
        self.table: Any = self._dynamodb.Table(table)
        self.bucket = bucket

    def close(self) -> None:
        self._dynamodb.meta.client.close()
        self._raw.close()
        self.s3.close()

    def create(self) -> None:
        """What the recipe's commands create: one table with one index, one plain bucket."""
        self._dynamodb.create_table(
            TableName=self.table.name,
            KeySchema=[
                {"AttributeName": "model_name", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "model_name", "AttributeType": "S"},
                {"AttributeName": "version", "AttributeType": "N"},
                {"AttributeName": "stage", "AttributeType": "S"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "stage-index",
                    "KeySchema": [
                        {"AttributeName": "model_name", "KeyType": "HASH"},
                        {"AttributeName": "stage", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        self.table.wait_until_exists()
        self.s3.create_bucket(Bucket=self.bucket)

    def register(self, model: str, content: bytes, metrics: dict[str, float], **fields: str) -> int:
        latest = self.latest(model)
        version = int(latest["version"]) + 1 if latest else 1
        key = f"models/{model}/v{version}/model.pt"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        item = {
            "model_name": model,
            "version": version,
            "stage": "staging",
            "s3_path": f"s3://{self.bucket}/{key}",
            "metrics": {name: Decimal(str(value)) for name, value in metrics.items()},
            "created_at": datetime(2025, 3, 1 + version % 28, 12, 30).isoformat(),  # noqa: DTZ001 -- as the recipe does
            "framework": "pytorch",
            "description": f"version {version}",
        }
        self.table.put_item(Item=item | fields)
        return version

    def promote(self, model: str, version: int, *, crash: bool = False) -> None:
        """Make a version production, then archive the others; a crash leaves more than one."""
        others = [item for item in self.in_stage(model, "production") if int(item["version"]) != version]
        self._set_stage(model, version, "production")
        for other in [] if crash else others:
            self._set_stage(model, int(other["version"]), "archived")

    def _set_stage(self, model: str, version: int, stage: str) -> None:
        self.table.update_item(
            Key={"model_name": model, "version": version},
            UpdateExpression="SET #stage = :stage",
            ExpressionAttributeNames={"#stage": "stage"},
            ExpressionAttributeValues={":stage": stage},
        )

    def versions(self, model: str) -> list[dict[str, Any]]:
        return list(self.table.query(KeyConditionExpression=Key("model_name").eq(model))["Items"])

    def latest(self, model: str) -> dict[str, Any] | None:
        condition = Key("model_name").eq(model)
        found = self.table.query(KeyConditionExpression=condition, ScanIndexForward=False, Limit=1)["Items"]
        return found[0] if found else None

    def get(self, model: str, version: int) -> dict[str, Any]:
        return dict(self.table.get_item(Key={"model_name": model, "version": version})["Item"])

    def in_stage(self, model: str, stage: str) -> list[dict[str, Any]]:
        condition = Key("model_name").eq(model) & Key("stage").eq(stage)
        return list(self.table.query(IndexName="stage-index", KeyConditionExpression=condition)["Items"])

    def download(self, item: dict[str, Any]) -> bytes:
        address = urlsplit(item["s3_path"])
        answer = self.s3.get_object(Bucket=address.netloc, Key=address.path.removeprefix("/"))
        return bytes(answer["Body"].read())

    def raw(self) -> dict[str, dict[str, Any]]:
        """Every version item as it lies in the table, to the letter; not the registry's own, which begin with `$`."""
        items = self._raw.scan(TableName=self.table.name)["Items"]
        found = {f"{item['model_name']['S']} {item['version']['N']}": item for item in items}
        return {name: item for name, item in found.items() if not name.startswith("$")}
