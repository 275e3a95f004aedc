"""What happens to a model as a whole."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from modelkeep.domain.changes.change import Change, Decision, DeleteItem, Unchanged, advance, event_of, to_trash
from modelkeep.domain.changes.edits import Edit, given, merged
from modelkeep.domain.errors import ModelNotEmptyError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.uploads import MAX_TAGS, Upload


def edit_model(head: Head, edit: Edit, operation: Operation) -> Decision[Head]:
    """Change a model's description and tags."""
    edited = replace(
        head,
        description=given(edit.description, head.description),
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
    moves = [advance for version in versions for advance in to_trash(version, operation, purge_after)]
    return Change(head=after, events=events, moves=(*moves, *map(DeleteItem, uploads)), result=(tuple(uploads), more))
