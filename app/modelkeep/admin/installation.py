"""Make table and bucket, or the data folder, fit for the registry."""

from collections.abc import AsyncGenerator

from modelkeep.admin.storage_check import check_replicas
from modelkeep.bootstrap import open_storage, ownership_of
from modelkeep.domain.errors import UnavailableError
from modelkeep.services.maintenance.findings import Finding, SetupStep, StronglyConsistentReplicas
from modelkeep.settings import Settings


async def install(settings: Settings, *, take_over: bool = False) -> AsyncGenerator[Finding, None]:
    """Make what is missing and yield each step, and what a global table breaks; safe to repeat.

    A bucket of another table is refused before anything is changed, unless `take_over`. Raises `BucketOwnedError` and
    `UnavailableError`.
    """
    if settings.backend == "local":
        async with open_storage(settings):
            yield SetupStep(f"Folder '{settings.data_dir}' is ready.")
        return
    async with open_storage(settings) as (table, store):
        ownership = ownership_of(table, store, settings)
        if not take_over:
            await ownership.refuse_other_name()
        async for finding in _install_aws(settings):
            yield finding
        claimed = await ownership.claim(take_over=take_over)
    yield SetupStep(f"Bucket '{settings.bucket}' is {'now' if claimed else 'already'} marked as this table's.")


async def _install_aws(settings: Settings) -> AsyncGenerator[Finding, None]:
    # What `local` never needs costs a second to import.
    from modelkeep.storage.aws import dynamodb, dynamodb_setup, s3, s3_clients, s3_probe, s3_setup  # noqa: PLC0415
    from modelkeep.storage.aws.errors import Resource  # noqa: PLC0415
    from modelkeep.storage.aws.s3_public_probe import probe_public_address  # noqa: PLC0415
    from modelkeep.storage.aws.session import new_session  # noqa: PLC0415

    session, bucket = new_session(), settings.bucket or ""
    async with dynamodb.open_client(session, settings.table) as client:
        for finding in await check_replicas(client, settings.table):
            yield finding
            if isinstance(finding, StronglyConsistentReplicas):
                raise UnavailableError(f"Table '{settings.table}' cannot be used. Set MODELKEEP_TABLE to another name.")
        async for sentence in dynamodb_setup.set_up_table(client, settings.table):
            yield SetupStep(sentence)
    resource = Resource("bucket", bucket, session.region_name)
    async with s3_clients.open_client(session, resource) as (talking, _):
        async for sentence in s3_setup.set_up_bucket(talking, bucket, talking.meta.region_name):
            yield SetupStep(sentence)
        yield SetupStep(await s3_probe.probe_bucket(talking, bucket))
        public_url = settings.s3_public_url
        async with s3.S3Store.open(session, bucket, public_url=public_url) as store:
            yield SetupStep(await probe_public_address(talking, bucket, store, public_url=public_url))
