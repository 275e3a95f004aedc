"""Moves versions between stages, and rolls production back."""

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action, stage_set
from modelkeep.domain.changes import Decision, StageRequest
from modelkeep.domain.errors import PreconditionRequiredError, VersionNotFoundError
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.values import UNSET, Unset
from modelkeep.repositories.ledger import Ledger
from modelkeep.services.access.caller import Caller
from modelkeep.services.versions import VersionService


class StageService:
    """Stages of a model's versions."""

    def __init__(self, ledger: Ledger, versions: VersionService) -> None:
        self._ledger = ledger
        self._versions = versions

    async def move(self, model: str, number: int, request: StageRequest, caller: Caller) -> Version:
        """Move a version to a stage; promoting it archives the production version, in one transaction.

        Moving the production version elsewhere also needs the right to set production. Raises `ModelNotFoundError`,
        `VersionNotFoundError`, `ProductionChangedError`, `NotNewerError`.
        """
        operation = caller.operation(stage_set(request.stage), model)

        async def decide(head: Head | None) -> Decision[Version]:
            live = existing(head, model)
            if live.production_version == number:
                caller.require(Action.STAGE_SET_PRODUCTION, model)
            version, holder = await self._with_holder(live, number)
            return changes.move(live, version, holder, request, operation)

        return await self._ledger.apply(
            model, operation, decide, on_duplicate=lambda _: self._versions.get_number(model, number)
        )

    async def roll_back(
        self, model: str, caller: Caller, *, expected_production: int | Unset | None = UNSET, comment: str | None = None
    ) -> Version:
        """Promote the version that was production before.

        Raises `PreconditionRequiredError` without an idempotency key or a precondition, for a repeat would roll back
        twice; `ModelNotFoundError`, `ProductionChangedError`, `NoEarlierProductionError`.
        """
        operation = caller.operation(Action.STAGE_SET_PRODUCTION, model)
        if caller.idempotency is None and isinstance(expected_production, Unset):
            raise PreconditionRequiredError

        async def decide(head: Head | None) -> Decision[Version]:
            live = existing(head, model)
            number = changes.roll_back_target(live, expected_production=expected_production)
            target, holder = await self._with_holder(live, number)
            return changes.roll_back(live, target, holder, operation, comment=comment)

        return await self._ledger.apply(
            model, operation, decide, on_duplicate=lambda number: self._versions.get_number(model, number)
        )

    async def _with_holder(self, head: Head, number: int) -> tuple[Version, Version | None]:
        """A version, and the production version if that is another one, to be archived.

        Raises `VersionNotFoundError`.
        """
        holder = head.production_version
        numbers = [number] if holder is None or holder == number else [number, holder]
        version, *others = await self._versions.find_many(head.model, numbers)
        if version is None:
            raise VersionNotFoundError(head.model, str(number))
        return version, others[0] if others else None
