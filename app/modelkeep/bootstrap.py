"""Opens storage once and builds the services over it: the wiring."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from modelkeep.domain.access.trust import Trust
from modelkeep.domain.changes import Change
from modelkeep.domain.limits import ServiceLimits
from modelkeep.http.context import Services
from modelkeep.identity.verifier import Verifier
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.optimistic_transaction import OnChange
from modelkeep.repositories.owners import Owners
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.repositories.versions import Versions
from modelkeep.schemas import access_file
from modelkeep.services.access.authenticator import Authenticator
from modelkeep.services.access.explainer import Explainer
from modelkeep.services.access.rules import RuleService
from modelkeep.services.access.tokens import TokenService
from modelkeep.services.access.trust import TrustService
from modelkeep.services.aliases import AliasService
from modelkeep.services.events import EventService
from modelkeep.services.health import HealthService
from modelkeep.services.models import ModelService
from modelkeep.services.ownership import Ownership
from modelkeep.services.reading.downloads import DownloadService
from modelkeep.services.reading.head_poller import HeadPoller
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.services.reading.resolver import Resolver
from modelkeep.services.reading.stale_cache import StaleCache
from modelkeep.services.stages import StageService
from modelkeep.services.uploading.uploads import UploadService
from modelkeep.services.versions import VersionService
from modelkeep.settings import Settings
from modelkeep.storage.instrumentation import OnCall, instrument_store, instrument_table
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Table


@asynccontextmanager
async def open_storage(
    settings: Settings, on_retry: Callable[[str], None] = lambda _: None
) -> AsyncIterator[tuple[Table, ObjectStore]]:
    """Open the table and the object store that the settings name. Raises `UnavailableError`.

    `on_retry(backend)` is called before the AWS SDK repeats a request; backend is "table" or "store".
    """
    async with AsyncExitStack() as stack:
        if settings.backend == "local":
            table: Table = await stack.enter_async_context(SqliteTable.open(settings.data_dir / "registry.db"))
            yield table, await FileStore.open(settings.data_dir, public_url=settings.public_url)
        else:
            # Importing these takes a second, which `local` does not need.
            from modelkeep.storage.aws import dynamodb, s3  # noqa: PLC0415
            from modelkeep.storage.aws.session import new_session  # noqa: PLC0415

            session = new_session(on_retry)
            table = await stack.enter_async_context(dynamodb.DynamoDbTable.open(session, settings.table))
            opening = s3.S3Store.open(session, settings.bucket or "", public_url=settings.s3_public_url)
            yield table, await stack.enter_async_context(opening)


def limits_of(settings: Settings) -> ServiceLimits:
    """The lifetimes and limits that the settings name."""
    return ServiceLimits(
        upload_url_ttl=timedelta(seconds=settings.upload_url_ttl_seconds),
        download_url_ttl=timedelta(seconds=settings.download_url_ttl_seconds),
        upload_ttl=timedelta(seconds=settings.upload_ttl_seconds),
        trash_ttl=timedelta(seconds=settings.trash_ttl_seconds),
        multipart_threshold=settings.multipart_threshold_bytes,
    )


def trust_of(table: Table, settings: Settings) -> TrustService:
    """The trust of the settings' file and of the table. Raises `ValueError` if the file cannot be read."""
    own = access_file.read(settings.access_file) if settings.access_file else Trust()
    return TrustService(TrustDocuments(table), access_file.parse, file_trust=own)


def ownership_of(table: Table, store: ObjectStore, settings: Settings) -> Ownership:
    """Whether the table owns the bucket; of a folder, which holds both, nothing is asked."""
    return Ownership(Owners(table), store, settings.table if settings.backend == "aws" else None)


def build_services(
    table: Table,
    store: ObjectStore,
    settings: Settings,
    *,
    on_call: OnCall = lambda _: None,
    on_change: OnChange = lambda _: None,
    on_stale: Callable[[], None] = lambda: None,
    is_ending: Callable[[], bool] = lambda: False,
) -> Services:
    """Build the services over storage.

    `on_call` is called after each operation of the table or the store, `on_change` after each change of a model, and
    `on_stale` for each answer from memory. Long polls end once `is_ending()`.
    """

    def announce(change: Change[object]) -> None:
        on_change(change)
        poller.publish(change.head)

    limits, files = limits_of(settings), store
    table, store = instrument_table(table, on_call), instrument_store(store, on_call)
    ledger, heads, stored, tokens = Ledger(table, announce), Heads(table), Versions(table), Tokens(table)
    stale_cache = StaleCache(settings.stale_ttl_seconds, on_stale)
    resolver = Resolver(ledger, heads, stored, stale_cache)
    poller = HeadPoller(resolver.find_head, is_ending)
    events = Events(table)
    versions = VersionService(ledger, stored, events, resolver, store, limits)
    trust, verifier = trust_of(table, settings), Verifier()
    explainer = Explainer(tokens, trust, verifier)
    return Services(
        models=ModelService(ledger, heads, stored, store, limits),
        versions=versions,
        uploads=UploadService(ledger, stored, store, limits),
        stages=StageService(ledger, versions),
        aliases=AliasService(ledger, versions),
        downloads=DownloadService(resolver, stale_cache, poller, PresignedUrlCache(store, limits)),
        events=EventService(ledger, events),
        tokens=TokenService(tokens),
        rules=RuleService(TrustDocuments(table), trust, explainer, access_file.parse_new),
        authenticator=Authenticator(tokens, trust, verifier, stale_ttl=settings.stale_ttl_seconds),
        health=HealthService(heads, store, ownership_of(table, store, settings)),
        files=files if isinstance(files, FileStore) else None,
    )
