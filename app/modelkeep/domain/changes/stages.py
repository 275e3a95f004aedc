"""Which version is production: promotion, demotion, rollback."""

from dataclasses import dataclass

from modelkeep.domain.changes.change import Change, Decision, Unchanged, UpdateItem, advance, event_of, with_stage
from modelkeep.domain.errors import NoEarlierProductionError, NotNewerError, ProductionChangedError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.values import UNSET, Stage, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """Where to move a version. `expected_production` is a precondition: UNSET for none, `None` for no version."""

    stage: Stage
    comment: str | None = None
    expected_production: int | Unset | None = UNSET
    only_newer: bool = False


def move(
    head: Head, version: Version, holder: Version | None, request: StageRequest, operation: Operation
) -> Decision[Version]:
    """Move a version to a stage; promoting it archives `holder`, the production version.

    Unchanged only if head and item agree on the stage: another program may have written the item. A version that is in
    staging because it was never moved can be moved there, once. Raises `ProductionChangedError`, `NotNewerError`.
    """
    current = version.with_head(head)
    is_settled = version.was_moved or request.stage is not Stage.STAGING
    if is_settled and version.stage is current.stage is request.stage:
        return Unchanged(result=current, version=version.number)
    _check_production(head, request.expected_production)
    if request.stage is Stage.PRODUCTION:
        return _promote(head, current, holder, request, operation)
    after = head.with_production(None) if head.production_version == version.number else head
    return _moved(advance(after, operation), current, None, request, operation)


def _promote(
    head: Head, version: Version, holder: Version | None, request: StageRequest, operation: Operation
) -> Change[Version]:
    if request.only_newer and head.production_version is not None and version.number < head.production_version:
        raise NotNewerError(head.model, version=version.number, holder=head.production_version)
    return _moved(advance(head.with_production(version.number), operation), version, holder, request, operation)


def _moved(
    after: Head,
    version: Version,
    holder: Version | None,
    request: StageRequest,
    operation: Operation,
    kind: EventType = EventType.STAGE_CHANGED,
) -> Change[Version]:
    moved = with_stage(version, request.stage, operation)
    item_changes = [UpdateItem(moved)] + ([UpdateItem(with_stage(holder, Stage.ARCHIVED, operation))] if holder else [])
    event = event_of(
        after,
        operation,
        kind,
        version=version.number,
        origin=version.stage,
        target=request.stage,
        replaced=holder.number if holder else None,
        comment=request.comment,
    )
    return Change(
        head=after,
        events=(event,),
        item_changes=tuple(item_changes),
        result=moved.with_head(after),
        version=version.number,
    )


def roll_back(
    head: Head,
    target: Version,
    holder: Version | None,
    operation: Operation,
    *,
    comment: str | None = None,
) -> Change[Version]:
    """Promote `target`, the version that was production before, and archive `holder`."""
    request = StageRequest(stage=Stage.PRODUCTION, comment=comment)
    return _moved(advance(head.rolled_back(), operation), target, holder, request, operation, EventType.ROLLED_BACK)


def roll_back_target(head: Head, *, expected_production: int | Unset | None = UNSET) -> int:
    """The number that a rollback promotes. Raises `ProductionChangedError`, `NoEarlierProductionError`."""
    _check_production(head, expected_production)
    if not head.production_history:
        raise NoEarlierProductionError(head.model)
    return head.production_history[-1]


def _check_production(head: Head, expected: int | Unset | None) -> None:
    if not isinstance(expected, Unset) and expected != head.production_version:
        raise ProductionChangedError(head.model, expected=expected, holder=head.production_version)
