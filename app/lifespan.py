"""Opens storage once, builds the services over it, and yields them as the typed state: the wiring."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import NotRequired, TypedDict

from app.repositories.events import Events
from app.repositories.heads import Heads
from app.repositories.ledger import Ledger
from app.repositories.versions import Versions
from app.services.aliases import AliasService
from app.services.downloads import DownloadService
from app.services.events import EventService
from app.services.health import HealthService
from app.services.models import ModelService
from app.services.policy import Policy
from app.services.stages import StageService
from app.services.uploads import UploadService
from app.services.versions import VersionService
from app.settings import Settings
from app.storage.local.files import FileStore
from app.storage.local.sqlite import SqliteTable
from app.storage.objects import ObjectStore
from app.storage.table import Table


class State(TypedDict):
    """What every request finds in `request.state`."""

    models: ModelService
    versions: VersionService
    uploads: UploadService
    stages: StageService
    aliases: AliasService
    downloads: DownloadService
    events: EventService
    health: HealthService
    files: NotRequired[FileStore]


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[tuple[Table, ObjectStore]]:
    """Open the table and the object store that the settings name. Raises `UnavailableError`."""
    async with AsyncExitStack() as stack:
        if settings.backend == "local":
            table: Table = await stack.enter_async_context(SqliteTable.open(settings.data_dir / "registry.db"))
            yield table, await FileStore.open(settings.data_dir, public_url=settings.public_url)
        else:
            from app.storage.aws import client, dynamodb, s3  # noqa: PLC0415 -- costs a second that `local` need not wait

            session = client.new_session()
            table = await stack.enter_async_context(dynamodb.DynamoDbTable.open(session, settings.table))
            opening = s3.S3Store.open(session, settings.bucket or "", public_url=settings.s3_public_url)
            yield table, await stack.enter_async_context(opening)


def policy_of(settings: Settings) -> Policy:
    """What the settings say of lives and limits."""
    return Policy(
        upload_url_ttl=timedelta(seconds=settings.upload_url_ttl),
        download_url_ttl=timedelta(seconds=settings.download_url_ttl),
        upload_ttl=timedelta(seconds=settings.upload_ttl),
        trash_ttl=timedelta(seconds=settings.trash_ttl),
        multipart_threshold=settings.multipart_threshold,
    )


def build(table: Table, store: ObjectStore, settings: Settings) -> State:
    """Build the services over storage."""
    policy = policy_of(settings)
    ledger, heads, kept = Ledger(table), Heads(table), Versions(table)
    versions = VersionService(ledger, kept, store, policy)
    state = State(
        models=ModelService(ledger, heads, kept, store, policy),
        versions=versions,
        uploads=UploadService(ledger, kept, store, policy),
        stages=StageService(ledger, versions),
        aliases=AliasService(ledger, versions),
        downloads=DownloadService(versions, store, policy),
        events=EventService(ledger, Events(table)),
        health=HealthService(heads, store),
    )
    if isinstance(store, FileStore):
        state["files"] = store
    return state
