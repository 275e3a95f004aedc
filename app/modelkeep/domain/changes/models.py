"""Changes of a model as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from modelkeep.domain.changes.change import Change, Decision, DeleteItem, Unchanged, advance, event_of, to_trash
from modelkeep.domain.changes.edits import Edit, merged, replaced
from modelkeep.domain.errors import ModelBeingDeletedError, ModelNotEmptyError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.uploads import MAX_TAGS, Upload


def create_model(
    model: str, head: Head | None, operation: Operation, *, description: str, tags: Mapping[str, str]
) -> Decision[tuple[Head, bool]]:
    """Make a model without versions, or revive a deleted one; one that is there stays as it is.

    The result is the head, and whether it is new. Raises `ModelBeingDeletedError`, `MetadataTooLargeError`.
    """
    if head and head.deleted_at is None:
        return Unchanged(result=(head, False))
    new = replace(opened(model, head, operation), description=description)
    after = advance(replace(new, tags=merged("tags", {}, tags, limit=MAX_TAGS)), operation)
    return Change(head=after, events=(event_of(after, operation, EventType.MODEL_CREATED),), result=(after, True))


def opened(model: str, head: Head | None, operation: Operation) -> Head:
    """The head of a model that is there: a new one, or that of a deleted one as a blank one, whose numbers go on.

    Raises `ModelBeingDeletedError` while the deletion of the model is in progress.
    """
    if head is None:
        return Head(model=model, generation=0, next_version=1, created_at=operation.at, updated_at=operation.at)
    if head.deletion_in_progress:
        raise ModelBeingDeletedError(model)
    if head.deleted_at is None:
        return head
    return replace(head, deleted_at=None, description="", tags={}, production_history=())


def edit_model(head: Head, edit: Edit, operation: Operation) -> Decision[Head]:
    """Change a model's description and tags. Raises `MetadataTooLargeError`."""
    edited = replace(
        head,
        description=replaced(head.description, edit.description),
        tags=merged("tags", head.tags, edit.tags, limit=MAX_TAGS),
    )
    if edited == head:
        return Unchanged(result=head)
    after = advance(edited, operation)
    return Change(head=after, events=(event_of(after, operation, EventType.MODEL_EDITED),), result=after)


def delete_model(
    head: Head,
    versions: Sequence[Version],
    uploads: Sequence[Upload],
    operation: Operation,
    *,
    purge_after: datetime,
    more: bool,
) -> Change[tuple[tuple[Upload, ...], bool]]:
    """Delete a model, or continue a deletion: versions to the trash, uploads dropped, at most 30 in all.

    While `more` remain, the deletion is in progress. The result is the dropped uploads, and `more`. Raises
    `ModelNotEmptyError`.
    """
    if head.production_version is not None or head.aliases:
        raise ModelNotEmptyError(
            head.model, production_version=head.production_version, aliases=tuple(sorted(head.aliases))
        )
    drafts: list[dict[str, Any]] = [] if head.deleted_at else [{"kind": EventType.MODEL_DELETED}]
    drafts += [{"kind": EventType.VERSION_DELETED, "version": v.number, "origin": v.stage} for v in versions]
    drafts += [{"kind": EventType.UPLOAD_ABANDONED, "version": upload.number} for upload in uploads]
    drafts = drafts or [{"kind": EventType.MODEL_DELETED}]
    emptied = replace(
        head,
        deleted_at=head.deleted_at or operation.at,
        deletion_in_progress=more,
        latest_version=None,
        production_history=(),
    )
    after = advance(emptied, operation, events=len(drafts))
    events = tuple(
        event_of(after, operation, generation=head.generation + position, **draft)
        for position, draft in enumerate(drafts, 1)
    )
    item_changes = [change for version in versions for change in to_trash(version, operation, purge_after)]
    return Change(
        head=after,
        events=events,
        item_changes=(*item_changes, *map(DeleteItem, uploads)),
        result=(tuple(uploads), more),
    )
