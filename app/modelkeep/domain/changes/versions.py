"""What happens to a version once it is complete."""

from dataclasses import replace
from datetime import datetime

from modelkeep.domain.changes.change import (
    Change,
    CreateItem,
    Decision,
    DeleteItem,
    Unchanged,
    UpdateItem,
    advance,
    event_of,
    to_trash,
)
from modelkeep.domain.changes.edits import Edit, given, merged
from modelkeep.domain.errors import ModelBeingDeletedError, VersionInUseError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import MAX_METRICS, MAX_TAGS


def edit_version(head: Head, version: Version, edit: Edit, operation: Operation) -> Decision[Version]:
    """Change what stands beside a version's bytes."""
    edited = replace(
        version,
        description=given(edit.description, version.description),
        metrics=merged("metrics", version.metrics, edit.metrics, limit=MAX_METRICS),
        tags=merged("tags", version.tags, edit.tags, limit=MAX_TAGS),
    )
    if edited == version:
        return Unchanged(result=version.with_head(head), version=version.number)
    after = advance(head, operation)
    event = event_of(after, operation, EventType.VERSION_EDITED, version=version.number)
    moves = (UpdateItem(edited, grows=True),)
    return Change(head=after, events=(event,), moves=moves, result=edited.with_head(after), version=version.number)


def delete_version(
    head: Head, version: Version, operation: Operation, *, purge_after: datetime, new_latest: int | None
) -> Change[None]:
    """Move a version to the trash. `new_latest` is the highest number that remains."""
    aliases = head.aliases_of(version.number)
    if head.production_version == version.number or aliases:
        raise VersionInUseError(head.model, version.number, stage=version.stage, aliases=aliases)
    history = _forget(version.number, head)
    after = advance(replace(head, latest_version=new_latest, production_history=history), operation)
    event = event_of(after, operation, EventType.VERSION_DELETED, version=version.number, origin=version.stage)
    moves = to_trash(version, operation, purge_after)
    return Change(head=after, events=(event,), moves=moves, result=None, version=version.number)


def restore(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[Version]:
    """Take a version out of the trash, in the stage that it had; a deleted model comes back with it.

    Raises `ModelBeingDeletedError` while other versions have yet to follow it into the trash.
    """
    if head.deletion_in_progress:
        raise ModelBeingDeletedError(head.model)
    version = trashed.version
    latest = max(head.latest_version or 0, version.number)
    after = advance(replace(head, latest_version=latest, deleted_at=None), operation)
    event = event_of(after, operation, EventType.VERSION_RESTORED, version=version.number, target=version.stage)
    moves = (DeleteItem(trashed), CreateItem(version))
    return Change(head=after, events=(event,), moves=moves, result=version.with_head(after), version=version.number)


def purge(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[TrashedVersion]:
    """Give a trashed version up for good; its number stays spent."""
    number = trashed.version.number
    after = advance(head, operation)
    event = event_of(after, operation, EventType.VERSION_PURGED, version=number)
    return Change(head=after, events=(event,), moves=(DeleteItem(trashed),), result=trashed, version=number)


def _forget(number: int, head: Head) -> tuple[int, ...]:
    """The history without a version: whoever held production before and after it held it once."""
    history: list[int] = []
    for holder in head.production_history:
        if holder != number and history[-1:] != [holder]:
            history.append(holder)
    return tuple(history[:-1] if history[-1:] == [head.production_version] else history)
