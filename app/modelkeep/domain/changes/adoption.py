"""Adopts models and versions that programs of the public recipe wrote."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from modelkeep.domain.changes.change import (
    Change,
    Decision,
    Unchanged,
    UpdateItem,
    advance,
    event_of,
    text_of,
    with_stage,
)
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version, newest_production
from modelkeep.domain.values import Stage


def adopt(
    model: str,
    versions: Sequence[Version],
    operation: Operation,
    *,
    take: Callable[[Sequence[Version]], Sequence[Version]],
) -> Change[Head]:
    """Create the head of a model whose versions (at least one) the public recipe wrote.

    Of the versions in production the highest number stays; those of the others that `take` takes are archived in the
    same transaction.
    """
    holder = newest_production(versions)
    latest = max(version.number for version in versions)
    created = min(version.created_at for version in versions)
    blank = Head(model=model, generation=0, next_version=latest + 1, created_at=created, updated_at=operation.at)
    after = advance(replace(blank, latest_version=latest, production_version=holder), operation)
    event = event_of(after, operation, EventType.MODEL_ADOPTED, version=holder, target=text_of(holder and "production"))
    strays = [
        UpdateItem(with_stage(stray, Stage.ARCHIVED, operation))
        for stray in take(conflicting_production_of(after, versions))
    ]
    return Change(head=after, events=(event,), item_changes=tuple(strays), result=after)


def catch_up(head: Head, versions: Sequence[Version], operation: Operation) -> Decision[Head]:
    """Advance the head past versions that a program of the public recipe wrote beside it."""
    latest = max((version.number for version in versions), default=None)
    if latest is None or latest < head.next_version:
        return Unchanged(result=head)
    after = advance(replace(head, next_version=latest + 1, latest_version=latest), operation)
    event = event_of(after, operation, EventType.MODEL_ADOPTED, version=latest)
    return Change(head=after, events=(event,), result=after)


def archive_strays(head: Head, strays: Sequence[Version], operation: Operation) -> Change[bool]:
    """Archive versions (at most 30) whose stage is production although the head names another. The result is `True`."""
    after = advance(head, operation, events=len(strays))
    events = tuple(
        event_of(
            after,
            operation,
            EventType.STAGE_CHANGED,
            generation=head.generation + position,
            version=stray.number,
            origin=Stage.PRODUCTION,
            target=Stage.ARCHIVED,
        )
        for position, stray in enumerate(strays, 1)
    )
    item_changes = tuple(UpdateItem(with_stage(stray, Stage.ARCHIVED, operation)) for stray in strays)
    return Change(head=after, events=events, item_changes=item_changes, result=True)


def conflicting_production_of(head: Head, versions: Sequence[Version]) -> list[Version]:
    """The versions whose stage is production although the head names another."""
    return [v for v in versions if v.stage is Stage.PRODUCTION and v.number != head.production_version]


def verify(head: Head, before: Version, verified: Version, operation: Operation) -> Decision[Version]:
    """Record the size and digest that were read from an adopted version's object."""
    if before == verified:
        return Unchanged(result=verified, version=verified.number)
    after = advance(head, operation)
    event = event_of(after, operation, EventType.VERSION_VERIFIED, version=verified.number)
    item_changes = (UpdateItem(verified),)
    return Change(head=after, events=(event,), item_changes=item_changes, result=verified, version=verified.number)
