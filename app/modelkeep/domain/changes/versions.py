"""Changes of complete versions."""

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
from modelkeep.domain.changes.edits import Edit, merged, replaced
from modelkeep.domain.errors import ModelBeingDeletedError, VersionInUseError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import MAX_METRICS, MAX_TAGS


def edit_version(head: Head, version: Version, edit: Edit, operation: Operation) -> Decision[Version]:
    """Change a version's metadata. Raises `MetadataTooLargeError`."""
    edited = replace(
        version,
        description=replaced(version.description, edit.description),
        metrics=merged("metrics", version.metrics, edit.metrics, limit=MAX_METRICS),
        tags=merged("tags", version.tags, edit.tags, limit=MAX_TAGS),
    )
    if edited == version:
        return Unchanged(result=version.with_head(head), version=version.number)
    after = advance(head, operation)
    event = event_of(after, operation, EventType.VERSION_EDITED, version=version.number)
    item_changes = (UpdateItem(edited, grows=True),)
    return Change(
        head=after, events=(event,), item_changes=item_changes, result=edited.with_head(after), version=version.number
    )


def delete_version(
    head: Head, version: Version, operation: Operation, *, purge_after: datetime, new_latest: int | None
) -> Change[None]:
    """Move a version to the trash; `new_latest` is the highest number that remains. Raises `VersionInUseError`."""
    aliases = head.aliases_of(version.number)
    if head.production_version == version.number or aliases:
        raise VersionInUseError(head.model, version.number, stage=version.stage, aliases=aliases)
    history = _history_without(head, version.number)
    after = advance(replace(head, latest_version=new_latest, production_history=history), operation)
    event = event_of(after, operation, EventType.VERSION_DELETED, version=version.number, origin=version.stage)
    item_changes = to_trash(version, operation, purge_after)
    return Change(head=after, events=(event,), item_changes=item_changes, result=None, version=version.number)


def restore(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[Version]:
    """Take a version out of the trash, in the stage that it had; revives a deleted model.

    Raises `ModelBeingDeletedError` while the deletion of its model is in progress.
    """
    if head.deletion_in_progress:
        raise ModelBeingDeletedError(head.model)
    version = trashed.version
    latest = max(head.latest_version or 0, version.number)
    after = advance(replace(head, latest_version=latest, deleted_at=None), operation)
    event = event_of(after, operation, EventType.VERSION_RESTORED, version=version.number, target=version.stage)
    item_changes = (DeleteItem(trashed), CreateItem(version))
    return Change(
        head=after, events=(event,), item_changes=item_changes, result=version.with_head(after), version=version.number
    )


def purge(head: Head, trashed: TrashedVersion, operation: Operation) -> Change[TrashedVersion]:
    """Remove a version from the trash for good; its number is not given again."""
    number = trashed.version.number
    after = advance(head, operation)
    event = event_of(after, operation, EventType.VERSION_PURGED, version=number)
    return Change(head=after, events=(event,), item_changes=(DeleteItem(trashed),), result=trashed, version=number)


def _history_without(head: Head, number: int) -> tuple[int, ...]:
    """The production history without a version; a version before and after it is listed once."""
    history: list[int] = []
    for holder in head.production_history:
        if holder != number and history[-1:] != [holder]:
            history.append(holder)
    return tuple(history[:-1] if history[-1:] == [head.production_version] else history)
