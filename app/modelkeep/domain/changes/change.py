"""What a decision comes to, and what all decisions share."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from modelkeep.domain.events import Event, EventType, Operation
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import Stage

T_co = TypeVar("T_co", covariant=True)

MAX_MOVES: Final = 30
"""Versions that one change moves at most: each takes three writes, and a transaction has room for 100."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    """The subject appears; nothing may stand in its place."""

    subject: Version | Upload | TrashedVersion


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """The subject, which is there, gets this state; `grows` if a caller added to what is kept."""

    subject: Version
    grows: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """The subject, which is there, goes."""

    subject: Version | Upload | TrashedVersion


ItemChange = CreateItem | UpdateItem | DeleteItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T_co]):
    """One step of a model's history: written as one transaction."""

    head: Head
    events: tuple[Event, ...]
    moves: tuple[ItemChange, ...] = ()
    result: T_co
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged(Generic[T_co]):
    """The model already is as asked: nothing is written."""

    result: T_co
    version: int | None = None


Decision = Change[T_co] | Unchanged[T_co]


def advance(head: Head, operation: Operation, *, events: int = 1) -> Head:
    """The head one generation later, or as many as there are events."""
    return replace(head, generation=head.generation + events, updated_at=operation.at)


def event_of(
    head: Head, operation: Operation, kind: EventType, *, generation: int | None = None, **fields: Any
) -> Event:
    """An event of the head as it will be; with several, each says its own generation."""
    return Event(
        model=head.model,
        generation=generation or head.generation,
        type=kind,
        operation_id=operation.id,
        actor=operation.actor,
        at=operation.at,
        request_id=operation.request_id,
        rule=operation.rule,
        **fields,
    )


def with_stage(version: Version, stage: Stage, operation: Operation) -> Version:
    """The version in another stage, by this operation."""
    return replace(version, stage=stage, stage_changed_at=operation.at, stage_changed_by=operation.actor)


def to_trash(version: Version, operation: Operation, purge_after: datetime) -> tuple[ItemChange, ItemChange]:
    """Move a version out of the live ones and into the trash."""
    trashed = TrashedVersion(
        version=version, deleted_at=operation.at, deleted_by=operation.actor, purge_after=purge_after
    )
    return DeleteItem(version), CreateItem(trashed)


def text_of(value: object) -> str | None:
    """A value as events keep it."""
    return None if value is None else str(value)
