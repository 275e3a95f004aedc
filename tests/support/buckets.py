"""What other programs do to a bucket, past the registry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelkeep.settings import Settings
from modelkeep.storage.aws import s3_clients
from modelkeep.storage.aws.errors import Resource
from modelkeep.storage.aws.session import new_session

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


@dataclass(frozen=True)
class Bucket:
    """A bucket, and a client that may do everything with it."""

    client: "S3Client"
    name: str

    async def hide(self, key: str) -> str:
        """Delete without naming a version: a delete marker becomes the current version. Returns its id."""
        return (await self.client.delete_object(Bucket=self.name, Key=key))["VersionId"]

    async def overwrite(self, key: str, content: bytes) -> str:
        """Put other bytes above what is there. Returns the id of their version."""
        return (await self.client.put_object(Bucket=self.name, Key=key, Body=content))["VersionId"]

    async def remove(self, key: str, version_id: str) -> None:
        """Delete one version or marker for good."""
        await self.client.delete_object(Bucket=self.name, Key=key, VersionId=version_id)


@asynccontextmanager
async def bucket_of(settings: Settings) -> AsyncIterator[Bucket]:
    """The bucket of a registry, for as long as the environment is that of `settings`."""
    session, name = new_session(), settings.bucket or ""
    async with s3_clients.open_client(session, Resource("bucket", name, session.region_name)) as (client, _):
        yield Bucket(client, name)
