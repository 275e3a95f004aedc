"""Moves models from one table and store into another: the way out of one machine, and back."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from modelkeep.domain.errors import RegistryError
from modelkeep.services.maintenance.model_migration import ModelMigration, NotMovedError, RegistryEndpoint
from modelkeep.services.maintenance.object_copier import told


@dataclass(eq=False)
class IncompleteMigrationError(RegistryError):
    """Some of it could not be moved; what was said before names it."""

    models: int

    def __str__(self) -> str:
        return (
            f"{self.models} model(s) were not moved, or not as a whole; they are named above. Nothing of the source was"
            " changed. Put right what is named, and run the same command again."
        )


class Migrator:
    """Copies models with their numbers, history, aliases and trash; the source is only read.

    Safe to stop at any instant and to repeat: it goes on where it was, changes nothing that is as it should be, and
    brings forward what the source has changed since. A model that somebody else wrote at the destination is left alone.

    Uploads that are open cannot be carried, since their parts and signed URLs are of the source's store: they are
    named, and their numbers stay spent. What an Idempotency-Key was settled on is not carried either: a request that
    is repeated at the destination is a new one. An adopted version that was never verified is read on the way, and
    its size and digest are noted, as `init --adopt --verify` does; its commit stays.
    """

    def __init__(self, source: RegistryEndpoint, destination: RegistryEndpoint, *, dry_run: bool) -> None:
        self._source = source
        self._destination = destination
        self._dry_run = dry_run

    async def migrate(self) -> AsyncGenerator[str, None]:
        """Move every model, one after the other, and say what became of each; a dry run only says.

        Raises `IncompleteMigrationError` at the end if something had to stay behind for a fault.
        """
        await self._destination.reach()
        names = await self._source.survey.models()
        await self._source.store.reach()
        objects, size, incomplete = 0, 0, 0
        for model in names:
            moving = ModelMigration(self._source, self._destination, model, dry_run=self._dry_run)
            try:
                async for sentence in moving.run():
                    yield sentence
            except NotMovedError as why:
                incomplete += 1
                yield f"{model}: not moved: {why}"
            else:
                incomplete += moving.is_incomplete
            objects, size = objects + moving.carrier.objects, size + moving.carrier.bytes
        copied = told(objects, size, dry_run=self._dry_run)
        yield f"{len(names) - incomplete} of {len(names)} model(s) {'movable' if self._dry_run else 'moved'}, {copied}"
        if incomplete:
            raise IncompleteMigrationError(incomplete)
