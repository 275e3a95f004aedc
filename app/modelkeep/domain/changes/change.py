"""What every decision returns, and what the decisions share."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from modelkeep.domain.events import Event, EventType, Operation
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import Stage

T_co = TypeVar("T_co", covariant=True)

MAX_SUBJECTS: Final = 30
"""Versions and uploads that one change touches at most: each takes three writes, and a transaction takes 100."""


@dataclass(frozen=True, slots=True)
class CreateItem:
    """Writes the subject; fails if it exists. `grows` as of `UpdateItem`."""

    subject: Version | Upload | TrashedVersion
    grows: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """Replaces the subject, which must exist; `grows` if a caller added to its metadata."""

    subject: Version
    grows: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Deletes the subject, which must exist."""

    subject: Version | Upload | TrashedVersion


@dataclass(frozen=True, slots=True)
class RequireItem:
    """Writes nothing; fails unless the subject exists, of whatever model."""

    subject: Version


ItemChange = CreateItem | UpdateItem | DeleteItem | RequireItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T_co]):
    """One step of a model's history, written in one transaction."""

    head: Head
    events: tuple[Event, ...]
    item_changes: tuple[ItemChange, ...] = ()
    result: T_co
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged(Generic[T_co]):
    """The model already is as requested: nothing is written."""

    result: T_co
    version: int | None = None


Decision = Change[T_co] | Unchanged[T_co]


def advance(head: Head, operation: Operation, *, events: int = 1) -> Head:
    """The head as many generations later as there are events."""
    return replace(head, generation=head.generation + events, updated_at=operation.at)


def event_of(
    head: Head, operation: Operation, kind: EventType, *, generation: int | None = None, **fields: Any
) -> Event:
    """An event of the next head; if there are several, each is given its own generation."""
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
    """The version, moved to a stage by this operation."""
    return replace(version, stage=stage, stage_changed_at=operation.at, stage_changed_by=operation.actor)


def to_trash(version: Version, operation: Operation, purge_after: datetime) -> tuple[ItemChange, ItemChange]:
    """Move a live version to the trash."""
    trashed = TrashedVersion(
        version=version, deleted_at=operation.at, deleted_by=operation.actor, purge_after=purge_after
    )
    return DeleteItem(version), CreateItem(trashed)


def text_of(value: object) -> str | None:
    """A value as text, the form that events hold."""
    return None if value is None else str(value)
