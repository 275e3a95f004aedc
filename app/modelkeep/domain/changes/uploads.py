"""A registration reserves a number, and becomes a version or is dropped."""

from dataclasses import replace

from modelkeep.domain.changes.change import Change, CreateItem, DeleteItem, advance, event_of
from modelkeep.domain.changes.models import opened
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head, Version
from modelkeep.domain.uploads import Upload


def begin(head: Head | None, upload: Upload, operation: Operation) -> Change[Upload]:
    """Reserve the next version number; creates the model, or revives a deleted one."""
    base = opened(upload.model, head, operation)
    after = advance(replace(base, next_version=upload.number + 1), operation)
    event = event_of(after, operation, EventType.UPLOAD_BEGUN, version=upload.number)
    return Change(head=after, events=(event,), item_changes=(CreateItem(upload),), result=upload, version=upload.number)


def next_version(head: Head | None) -> int:
    """The number of the next registration."""
    return head.next_version if head else 1


def complete(head: Head, upload: Upload, version: Version, operation: Operation) -> Change[Version]:
    """Replace an upload by its version."""
    latest = max(head.latest_version or 0, version.number)
    after = advance(replace(head, latest_version=latest), operation)
    event = event_of(
        after,
        operation,
        EventType.VERSION_COMPLETED,
        version=version.number,
        target=version.stage,
        commit=version.commit,
    )
    item_changes = (DeleteItem(upload), CreateItem(version))
    return Change(
        head=after, events=(event,), item_changes=item_changes, result=version.with_head(after), version=version.number
    )


def drop_upload(head: Head, upload: Upload, operation: Operation, *, expired: bool = False) -> Change[Upload]:
    """Drop an abandoned or expired upload; its number is not given again."""
    after = advance(head, operation)
    kind = EventType.UPLOAD_EXPIRED if expired else EventType.UPLOAD_ABANDONED
    event = event_of(after, operation, kind, version=upload.number)
    return Change(head=after, events=(event,), item_changes=(DeleteItem(upload),), result=upload, version=upload.number)
