"""Copies models from one table and store into another: from one machine to AWS, and back."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from modelkeep.domain.errors import RegistryError
from modelkeep.services.maintenance.findings import Finding, MigrationEnded, VersionNotCopied, VersionTooLarge
from modelkeep.services.maintenance.model_migration import ModelMigration, NotMigratedError, RegistryEndpoint


@dataclass(eq=False)
class IncompleteMigrationError(RegistryError):
    """Some models, or versions of them, could not be copied; the findings before name each."""

    models: int

    def __str__(self) -> str:
        return (
            f"{self.models} model(s) were not moved, or not as a whole; they are named above. Nothing of the source was"
            " changed. Put right what is named, and run the same command again."
        )


class Migrator:
    """Copies models with their numbers, history, aliases and trash; the source is only read.

    Safe to stop at any instant and to repeat: a run continues where the last one ended, changes nothing that is as it
    should be, and copies what the source has changed since. A model that others have written at the destination is left
    alone.

    Open uploads are not copied, since their parts and presigned URLs belong to the source's store: they are named, and
    their numbers stay spent. Idempotency keys are not copied either: a request that is repeated at the destination is a
    new one. An adopted version that was never verified is read on the way, and its size and digest are recorded, as
    `init --adopt --verify` does; its commit stays.
    """

    def __init__(self, source: RegistryEndpoint, destination: RegistryEndpoint, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._dry_run = dry_run

    async def migrate(self) -> AsyncGenerator[Finding, None]:
        """Copy every model, one after the other, and yield what became of each; a dry run writes nothing.

        The last finding is `MigrationEnded`. Raises `IncompleteMigrationError` after it if something was not copied
        that should have been, and `UnavailableError`.
        """
        await self._destination.reach()
        models = await self._source.scan.models()
        await self._source.store.reach()
        incomplete: set[str] = set()
        objects = size = 0
        for model in models:
            migration = ModelMigration(self._source, self._destination, model, dry_run=self._dry_run)
            try:
                async for finding in migration.run():
                    if isinstance(finding, VersionNotCopied | VersionTooLarge):
                        incomplete.add(model)
                    yield finding
            except NotMigratedError as error:
                incomplete.add(model)
                yield error.finding
            objects += migration.copier.objects
            size += migration.copier.bytes
        migrated = len(models) - len(incomplete)
        yield MigrationEnded(models=len(models), migrated=migrated, objects=objects, bytes=size, dry_run=self._dry_run)
        if incomplete:
            raise IncompleteMigrationError(len(incomplete))
