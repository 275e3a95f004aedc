"""Points and removes aliases."""

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.changes import Decision
from modelkeep.domain.models import Head, Version, existing
from modelkeep.repositories.ledger import Ledger
from modelkeep.services.access.caller import Caller
from modelkeep.services.versions import VersionService


class AliasService:
    """Aliases of a model's versions."""

    def __init__(self, ledger: Ledger, versions: VersionService) -> None:
        self._ledger = ledger
        self._versions = versions

    async def point(self, model: str, alias: str, number: int, caller: Caller, *, comment: str | None) -> Version:
        """Point an alias at a version, whatever it named before.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `AliasReservedError`, `MetadataTooLargeError`.
        """
        operation = caller.operation(Action.ALIAS_SET, model)

        async def decide(head: Head | None) -> Decision[Version]:
            live = existing(head, model)
            version = await self._versions.require(model, number)
            return changes.set_alias(live, version, alias, operation, comment=comment)

        return await self._ledger.apply(
            model, operation, decide, on_duplicate=lambda _: self._versions.get_number(model, number)
        )

    async def remove(self, model: str, alias: str, caller: Caller) -> None:
        """Remove an alias. Raises `ModelNotFoundError`, `AliasNotFoundError`."""
        operation = caller.operation(Action.ALIAS_SET, model)

        async def decide(head: Head | None) -> Decision[None]:
            return changes.remove_alias(existing(head, model), alias, operation)

        async def on_duplicate(_: int | None) -> None:
            return None

        await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)
