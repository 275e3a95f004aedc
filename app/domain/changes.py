"""The decisions: what a request does to a model, as pure functions of its head. Here the rules live.

Each takes the head as it is, the subjects it touches and the operation, and returns a `Change` (the head as it will be,
what moves, and the events), or `Unchanged`, or raises a domain error. The ledger writes a change whole or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from app.domain.errors import (
    AliasNotFoundError,
    AliasReservedError,
    MetadataTooLargeError,
    ModelBeingDeletedError,
    ModelNotEmptyError,
    NoEarlierProductionError,
    NotNewerError,
    ProductionChangedError,
    VersionInUseError,
)
from app.domain.events import Event, EventType, Operation
from app.domain.models import Head, TrashedVersion, Version, newest_production
from app.domain.uploads import MAX_METRICS, MAX_TAGS, Upload
from app.domain.values import UNSET, Stage, Unset, is_reserved_alias

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_ALIASES: Final = 100
MAX_MOVES: Final = 30
"""Versions that one change moves at most: each takes three writes, and a transaction has room for 100."""


@dataclass(frozen=True, slots=True)
class Added:
    """The subject appears; nothing may stand in its place."""

    subject: Version | Upload | TrashedVersion


@dataclass(frozen=True, slots=True)
class Replaced:
    """The subject, which is there, gets this state."""

    subject: Version


@dataclass(frozen=True, slots=True)
class Removed:
    """The subject, which is there, goes."""

    subject: Version | Upload | TrashedVersion


Move = Added | Replaced | Removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[T_co]):
    """One step of a model's history: written as one transaction."""

    head: Head
    events: tuple[Event, ...]
    moves: tuple[Move, ...] = ()
    result: T_co
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged(Generic[T_co]):
    """The model already is as asked: nothing is written."""

    result: T_co
    version: int | None = None


Decision = Change[T_co] | Unchanged[T_co]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """Where to move a version. `expected_production` is the fence: UNSET for none, None for 'no version'."""

    stage: Stage
    comment: str | None = None
    expected_production: int | Unset | None = UNSET
    only_newer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to change beside the bytes: UNSET leaves as it is, a `None` value removes the key."""

    description: str | Unset = UNSET
    metrics: Mapping[str, Decimal | None] | Unset = UNSET
    tags: Mapping[str, str | None] | Unset = UNSET


def begin(head: Head | None, upload: Upload, operation: Operation) -> Change[Upload]:
    """Reserve the next version number; the first one makes the model, or revives a deleted one."""
    base = head or _new_head(upload.model, operation)
    if base.deleted_at is not None:
        base = replace(base, deleted_at=None, description="", tags={}, production_history=())
    after = _step(replace(base, next_version=upload.number + 1), operation)
    event = _event(after, operation, EventType.UPLOAD_BEGUN, version=upload.number)
    return Change(head=after, events=(event,), moves=(Added(upload),), result=upload, version=upload.number)


def next_version(head: Head | None) -> int:
    """The number that the next registration gets."""
    return head.next_version if head else 1


def complete(head: Head, upload: Upload, version: Version, operation: Operation) -> Change[Version]:
    """Turn an upload into a version."""
    latest = max(head.latest_version or 0, version.number)
    after = _step(replace(head, latest_version=latest), operation)
    event = _event(after, operation, EventType.VERSION_COMPLETED, version=version.number, target=version.stage)
    moves = (Removed(upload), Added(version))
    return Change(head=after, events=(event,), moves=moves, result=version.seen_from(after), version=version.number)


def drop_upload(head: Head, upload: Upload, operation: Operation, *, expired: bool = False) -> Change[Upload]:
    """Give an upload up; its number stays spent."""
    after = _step(head, operation)
    kind = EventType.UPLOAD_EXPIRED if expired else EventType.UPLOAD_ABANDONED
    event = _event(after, operation, kind, version=upload.number)
    return Change(head=after, events=(event,), moves=(Removed(upload),), result=upload, version=upload.number)


def move(
    head: Head, version: Version, holder: Version | None, request: StageRequest, operation: Operation
) -> Decision[Version]:
    """Move a version to a stage. Promoting it archives `holder`, the production version; the fences refuse or pass.

    A version whose item says otherwise than the head (another program wrote it) is not as asked until both say so.
    """
    seen = version.seen_from(head)
    if version.stage is seen.stage is request.stage:
        return Unchanged(result=seen, version=version.number)
    _check_fence(head, request.expected_production)
    if request.stage is Stage.PRODUCTION:
        return _promote(head, seen, holder, request, operation)
    after = head.with_production(None) if head.production_version == version.number else head
    return _moved(_step(after, operation), seen, None, request, operation)


def _promote(
    head: Head, version: Version, holder: Version | None, request: StageRequest, operation: Operation
) -> Change[Version]:
    if request.only_newer and holder is not None and version.number < holder.number:
        raise NotNewerError(head.model, version=version.number, holder=holder.number)
    return _moved(_step(head.with_production(version.number), operation), version, holder, request, operation)


def _moved(
    after: Head, version: Version, holder: Version | None, request: StageRequest, operation: Operation
) -> Change[Version]:
    moved = _staged(version, request.stage, operation)
    moves = [Replaced(moved)] + ([Replaced(_staged(holder, Stage.ARCHIVED, operation))] if holder else [])
    event = _event(
        after,
        operation,
        EventType.STAGE_CHANGED,
        version=version.number,
        origin=version.stage,
        target=request.stage,
        replaced=holder.number if holder else None,
        comment=request.comment,
    )
    return Change(
        head=after, events=(event,), moves=tuple(moves), result=moved.seen_from(after), version=version.number
    )


def roll_back(
    head: Head,
    target: Version,
    holder: Version | None,
    operation: Operation,
    *,
    comment: str | None = None,
) -> Change[Version]:
    """Give production back to `target`, the version that held it before, and archive `holder`."""
    after = _step(head.rolled_back(), operation)
    restored = _staged(target, Stage.PRODUCTION, operation)
    moves = [Replaced(restored)] + ([Replaced(_staged(holder, Stage.ARCHIVED, operation))] if holder else [])
    event = _event(
        after,
        operation,
        EventType.ROLLED_BACK,
        version=target.number,
        origin=target.stage,
        target=Stage.PRODUCTION,
        replaced=holder.number if holder else None,
        comment=comment,
    )
    return Change(
        head=after, events=(event,), moves=tuple(moves), result=restored.seen_from(after), version=target.number
    )


def roll_back_target(head: Head, *, expected_production: int | Unset | None = UNSET) -> int:
    """The version that a rollback would lead to. Raises `ProductionChangedError`, `NoEarlierProductionError`."""
    _check_fence(head, expected_production)
    if not head.production_history:
        raise NoEarlierProductionError(head.model)
    return head.production_history[-1]


def set_alias(
    head: Head, version: Version, alias: str, operation: Operation, *, comment: str | None = None
) -> Decision[Version]:
    """Point an alias at a version."""
    if is_reserved_alias(alias):
        raise AliasReservedError(alias)
    if head.aliases.get(alias) == version.number:
        return Unchanged(result=version.seen_from(head), version=version.number)
    aliases = {**head.aliases, alias: version.number}
    if len(aliases) > MAX_ALIASES:
        raise MetadataTooLargeError("aliases", size=len(aliases), limit=MAX_ALIASES)
    after = _step(replace(head, aliases=aliases), operation)
    event = _event(
        after,
        operation,
        EventType.ALIAS_SET,
        version=version.number,
        alias=alias,
        origin=_text(head.aliases.get(alias)),
        target=str(version.number),
        comment=comment,
    )
    return Change(head=after, events=(event,), result=version.seen_from(after), version=version.number)


def remove_alias(head: Head, alias: str, operation: Operation) -> Change[None]:
    """Take an alias away."""
    if alias not in head.aliases:
        raise AliasNotFoundError(head.model, alias)
    aliases = {name: number for name, number in head.aliases.items() if name != alias}
    after = _step(replace(head, aliases=aliases), operation)
    number = head.aliases[alias]
    event = _event(after, operation, EventType.ALIAS_REMOVED, version=number, alias=alias, origin=str(number))
    return Change(head=after, events=(event,), result=None, version=number)


def edit_version(head: Head, version: Version, edit: Edit, operation: Operation) -> Decision[Version]:
    """Change what stands beside a version's bytes."""
    edited = replace(
        version,
        description=_given(edit.description, version.description),
        metrics=_merged("metrics", version.metrics, edit.metrics, limit=MAX_METRICS),
        tags=_merged("tags", version.tags, edit.tags, limit=MAX_TAGS),
    )
    if edited == version:
        return Unchanged(result=version.seen_from(head), version=version.number)
    after = _step(head, operation)
    event = _event(after, operation, EventType.VERSION_EDITED, version=version.number)
    moves = (Replaced(edited),)
    return Change(head=after, events=(event,), moves=moves, result=edited.seen_from(after), version=version.number)


def edit_model(head: Head, edit: Edit, operation: Operation) -> Decision[Head]:
    """Change a model's description and tags."""
    edited = replace(
        head,
        description=_given(edit.description, head.description),
        tags=_merged("tags", head.tags, edit.tags, limit=MAX_TAGS),
    )
    if edited == head:
        return Unchanged(result=head)
    after = _step(edited, operation)
    return Change(head=after, events=(_event(after, operation, EventType.MODEL_EDITED),), result=after)


def delete_version(
    head: Head, version: Version, operation: Operation, *, purge_after: datetime, new_latest: int | None
) -> Change[None]:
    """Move a version to the trash. `new_latest` is the highest number that remains."""
    aliases = head.aliases_of(version.number)
    if head.production_version == version.number or aliases:
        raise VersionInUseError(head.model, version.number, stage=version.stage, aliases=aliases)
    history = _forget(version.number, head)
    after = _step(replace(head, latest_version=new_latest, production_history=history), operation)
    event = _event(after, operation, EventType.VERSION_DELETED, version=version.number, origin=version.stage)
    moves = _to_trash(version, operation, purge_after)
    return Change(head=after, events=(event,), moves=moves, result=None, version=version.number)


def restore(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[Version]:
    """Take a version out of the trash, in the stage that it had; a deleted model comes back with it.

    Raises `ModelBeingDeletedError` while other versions have yet to follow it into the trash.
    """
    if head.emptying:
        raise ModelBeingDeletedError(head.model)
    version = trashed.version
    latest = max(head.latest_version or 0, version.number)
    after = _step(replace(head, latest_version=latest, deleted_at=None), operation)
    event = _event(after, operation, EventType.VERSION_RESTORED, version=version.number, target=version.stage)
    moves = (Removed(trashed), Added(version))
    return Change(head=after, events=(event,), moves=moves, result=version.seen_from(after), version=version.number)


def purge(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[TrashedVersion]:
    """Give a trashed version up for good; its number stays spent."""
    number = trashed.version.number
    after = _step(head, operation)
    event = _event(after, operation, EventType.VERSION_PURGED, version=number)
    return Change(head=after, events=(event,), moves=(Removed(trashed),), result=trashed, version=number)


def delete_model(
    head: Head,
    versions: Sequence[Version],
    uploads: Sequence[Upload],
    operation: Operation,
    *,
    purge_after: datetime,
    more: bool,
) -> Change[tuple[tuple[Upload, ...], bool]]:
    """Delete a model, or go on emptying a deleted one: move these (at most 30 in all), and note if `more` remain.

    The result is the uploads that were given up, and `more`.
    """
    if head.production_version is not None or head.aliases:
        raise ModelNotEmptyError(
            head.model, production_version=head.production_version, aliases=tuple(sorted(head.aliases))
        )
    drafts: list[dict[str, Any]] = [] if head.deleted_at else [{"kind": EventType.MODEL_DELETED}]
    drafts += [{"kind": EventType.VERSION_DELETED, "version": v.number, "origin": v.stage} for v in versions]
    drafts += [{"kind": EventType.UPLOAD_ABANDONED, "version": upload.number} for upload in uploads]
    emptied = replace(
        head, deleted_at=head.deleted_at or operation.at, emptying=more, latest_version=None, production_history=()
    )
    after = _step(emptied, operation, events=len(drafts))
    events = tuple(
        _event(after, operation, generation=head.generation + position, **draft)
        for position, draft in enumerate(drafts, 1)
    )
    moves = [step for version in versions for step in _to_trash(version, operation, purge_after)]
    return Change(head=after, events=events, moves=(*moves, *map(Removed, uploads)), result=(tuple(uploads), more))


def adopt(model: str, versions: Sequence[Version], operation: Operation) -> Change[Head]:
    """Build the head of a model whose versions the public recipe wrote (at least one).

    The highest number that claims production keeps it; up to 30 others that claim it are archived in the same step.
    """
    holder = newest_production(versions)
    latest = max(version.number for version in versions)
    created = min(version.created_at for version in versions)
    blank = Head(model=model, generation=0, next_version=latest + 1, created_at=created, updated_at=operation.at)
    after = _step(replace(blank, latest_version=latest, production_version=holder), operation)
    event = _event(after, operation, EventType.MODEL_ADOPTED, version=holder, target=_text(holder and "production"))
    strays = [Replaced(_staged(stray, Stage.ARCHIVED, operation)) for stray in strays_of(after, versions)[:MAX_MOVES]]
    return Change(head=after, events=(event,), moves=tuple(strays), result=after)


def catch_up(head: Head, versions: Sequence[Version], operation: Operation) -> Decision[Head]:
    """Let the head know of versions that a program of the public recipe wrote behind its back."""
    latest = max((version.number for version in versions), default=None)
    if latest is None or latest < head.next_version:
        return Unchanged(result=head)
    after = _step(replace(head, next_version=latest + 1, latest_version=latest), operation)
    event = _event(after, operation, EventType.MODEL_ADOPTED, version=latest)
    return Change(head=after, events=(event,), result=after)


def archive_strays(head: Head, strays: Sequence[Version], operation: Operation) -> Change[bool]:
    """Archive versions (at most 30) that claim production although the head names another. The result is `True`."""
    after = _step(head, operation, events=len(strays))
    events = tuple(
        _event(
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
    moves = tuple(Replaced(_staged(stray, Stage.ARCHIVED, operation)) for stray in strays)
    return Change(head=after, events=events, moves=moves, result=True)


def strays_of(head: Head, versions: Sequence[Version]) -> list[Version]:
    """The versions that claim production although the head names another."""
    return [v for v in versions if v.stage is Stage.PRODUCTION and v.number != head.production_version]


def verify(head: Head, before: Version, verified: Version, operation: Operation) -> Decision[Version]:
    """Note the size and digest that were read from an adopted version's object."""
    if before == verified:
        return Unchanged(result=verified, version=verified.number)
    after = _step(head, operation)
    event = _event(after, operation, EventType.VERSION_VERIFIED, version=verified.number)
    moves = (Replaced(verified),)
    return Change(head=after, events=(event,), moves=moves, result=verified, version=verified.number)


def _new_head(model: str, operation: Operation) -> Head:
    return Head(model=model, generation=0, next_version=1, created_at=operation.at, updated_at=operation.at)


def _step(head: Head, operation: Operation, *, events: int = 1) -> Head:
    return replace(head, generation=head.generation + events, updated_at=operation.at)


def _event(head: Head, operation: Operation, kind: EventType, *, generation: int | None = None, **fields: Any) -> Event:
    return Event(
        model=head.model,
        generation=generation or head.generation,
        type=kind,
        operation_id=operation.id,
        actor=operation.actor,
        at=operation.at,
        request_id=operation.request_id,
        **fields,
    )


def _staged(version: Version, stage: Stage, operation: Operation) -> Version:
    return replace(version, stage=stage, stage_changed_at=operation.at, stage_changed_by=operation.actor)


def _to_trash(version: Version, operation: Operation, purge_after: datetime) -> tuple[Move, Move]:
    trashed = TrashedVersion(
        version=version, deleted_at=operation.at, deleted_by=operation.actor, purge_after=purge_after
    )
    return Removed(version), Added(trashed)


def _check_fence(head: Head, expected: int | Unset | None) -> None:
    if not isinstance(expected, Unset) and expected != head.production_version:
        raise ProductionChangedError(head.model, expected=expected, holder=head.production_version)


def _forget(number: int, head: Head) -> tuple[int, ...]:
    """The history without a version: whoever held production before and after it held it once."""
    history: list[int] = []
    for holder in head.production_history:
        if holder != number and history[-1:] != [holder]:
            history.append(holder)
    return tuple(history[:-1] if history[-1:] == [head.production_version] else history)


def _given(value: str | Unset, otherwise: str) -> str:
    return otherwise if isinstance(value, Unset) else value


def _merged(what: str, before: Mapping[str, T], edit: Mapping[str, T | None] | Unset, *, limit: int) -> Mapping[str, T]:
    if isinstance(edit, Unset):
        return before
    merged = {name: value for name, value in {**before, **edit}.items() if value is not None}
    if len(merged) > max(limit, len(before)):
        raise MetadataTooLargeError(what, size=len(merged), limit=limit)
    return merged


def _text(value: object) -> str | None:
    return None if value is None else str(value)
