"""Turns a decision into the writes of one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from modelkeep.domain.changes import Change, CreateItem, DeleteItem, ItemChange, RequireItem, Unchanged
from modelkeep.domain.errors import MetadataTooLargeError
from modelkeep.domain.events import IDEMPOTENCY_LIFE_SECONDS, IdempotencyKey, Operation
from modelkeep.domain.models import Head
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.items import event_to_item, head_to_item, subject_key, subject_to_item
from modelkeep.repositories.keys import head_key, idempotency_key, to_text
from modelkeep.storage.attributes import item_size
from modelkeep.storage.table import (
    MAX_ITEM_BYTES,
    MAX_TRANSACTION_BYTES,
    PARTITION,
    SORT,
    TTL,
    Absent,
    AbsentOrExpired,
    Check,
    Condition,
    Delete,
    Equals,
    Item,
    Present,
    Put,
    Table,
    Write,
)

MAX_ITEM_SIZE: Final = 350 * 1024
ITEM_BYTES: Final = "bytes of artifact list, metrics, tags and texts"
COMPLETION_RESERVE: Final = 64
"""Bytes that are added to each artifact of an upload when it is completed: the store's version id."""


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The outcome of the first request with an Idempotency-Key: its hash, and the version it led to, if any."""

    request_hash: str
    version: int | None


def change_writes(head: Head | None, change: Change[Any], operation: Operation) -> Sequence[Write]:
    """Head, items, events and, for an Idempotency-Key, its record. Raises `MetadataTooLargeError`."""
    return [
        Put(_within_size_limit(head_to_item(change.head, operation.id)), _generation_unchanged(head)),
        *(_write(item_change) for item_change in change.item_changes),
        *(Put(event_to_item(event), Absent()) for event in change.events),
        *_record_writes(operation, change.version),
    ]


def unchanged_writes(head: Head | None, decision: Unchanged[Any], operation: Operation) -> Sequence[Write]:
    """Nothing; for an Idempotency-Key its record, so that a late repeat changes nothing either."""
    writes = _record_writes(operation, decision.version)
    return [*writes, Check(head_key(head.model), _generation_unchanged(head))] if writes and head else writes


async def find_idempotency_record(table: Table, key: IdempotencyKey, now: datetime) -> IdempotencyRecord | None:
    """The record of the key; `None` if there is none or it has expired. Raises `TableUnavailableError`."""
    item = await table.get(idempotency_key(key.name))
    if item is None or int(item[TTL]) <= now.timestamp():
        return None
    version = item["target_version"]
    return IdempotencyRecord(item["request_hash"], None if version is None else int(version))


def too_large(writes: Sequence[Write]) -> MetadataTooLargeError:
    """The error for writes that the table rejected for their size: of all together, or else of the largest item."""
    sizes = [item_size(write.item) for write in writes if isinstance(write, Put)]
    if sum(sizes) > MAX_TRANSACTION_BYTES:
        return MetadataTooLargeError("bytes in one transaction", size=sum(sizes), limit=MAX_TRANSACTION_BYTES)
    return MetadataTooLargeError(ITEM_BYTES, size=max(sizes, default=0), limit=MAX_ITEM_BYTES)


def _generation_unchanged(head: Head | None) -> Condition:
    return Equals({"generation": head.generation}) if head else Absent()


def _write(move: ItemChange) -> Write:
    if isinstance(move, DeleteItem):
        return Delete(subject_key(move.subject), Present())
    if isinstance(move, RequireItem):
        return Check(subject_key(move.subject), Present())
    item: Item = subject_to_item(move.subject)
    if isinstance(move.subject, Upload):
        item = _within_size_limit(item, COMPLETION_RESERVE * len(move.subject.artifacts))
    elif move.grows:
        item = _within_size_limit(item)
    return Put(item, Absent() if isinstance(move, CreateItem) else Present())


def _within_size_limit(item: Item, reserve: int = 0) -> Item:
    """The item itself. Raises `MetadataTooLargeError`.

    Only what a caller adds is checked here: what merely moves may be as large as the table takes.
    """
    size = item_size(item) + reserve
    if size > MAX_ITEM_SIZE:
        raise MetadataTooLargeError(ITEM_BYTES, size=size, limit=MAX_ITEM_SIZE)
    return item


def _record_writes(operation: Operation, version: int | None) -> list[Write]:
    key = operation.idempotency
    if key is None:
        return []
    where = idempotency_key(key.name)
    item = {
        PARTITION: where.partition,
        SORT: where.sort,
        "request_hash": key.request_hash,
        "target_version": version,
        "operation_id": operation.id,
        "at": to_text(operation.at),
        TTL: int((operation.at + timedelta(seconds=IDEMPOTENCY_LIFE_SECONDS)).timestamp()),
    }
    return [Put(item, AbsentOrExpired(operation.at))]
