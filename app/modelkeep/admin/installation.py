"""Make table and bucket, or the data folder, fit for the registry."""

from collections.abc import AsyncGenerator

from modelkeep.bootstrap import open_storage
from modelkeep.services.maintenance.findings import SetupStep
from modelkeep.settings import Settings


async def install(settings: Settings) -> AsyncGenerator[SetupStep, None]:
    """Make what is missing and yield each step; safe to repeat. Raises `UnavailableError`."""
    if settings.backend == "local":
        async with open_storage(settings):
            yield SetupStep(f"Folder '{settings.data_dir}' is ready.")
        return
    async for sentence in _install_aws(settings):
        yield SetupStep(sentence)


async def _install_aws(settings: Settings) -> AsyncGenerator[str, None]:
    # What `local` never needs costs a second to import.
    from modelkeep.storage.aws import dynamodb, dynamodb_setup, s3_clients, s3_probe, s3_setup  # noqa: PLC0415
    from modelkeep.storage.aws.errors import Resource  # noqa: PLC0415
    from modelkeep.storage.aws.session import new_session  # noqa: PLC0415

    session, bucket = new_session(), settings.bucket or ""
    async with dynamodb.open_client(session, settings.table) as client:
        async for sentence in dynamodb_setup.set_up_table(client, settings.table):
            yield sentence
    resource = Resource("bucket", bucket, session.region_name)
    async with s3_clients.open_client(session, resource) as (talking, _):
        async for sentence in s3_setup.set_up_bucket(talking, bucket, talking.meta.region_name):
            yield sentence
        yield await s3_probe.probe_bucket(talking, bucket)
