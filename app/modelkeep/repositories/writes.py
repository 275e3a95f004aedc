"""What a decision comes to as writes of one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from modelkeep.domain.changes import Change, CreateItem, DeleteItem, ItemChange, Unchanged, UpdateItem
from modelkeep.domain.errors import MetadataTooLargeError
from modelkeep.domain.events import IDEMPOTENCY_LIFE_SECONDS, IdempotencyKey, Operation
from modelkeep.domain.models import Head
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.items import event_to_item, head_to_item, subject_key, subject_to_item
from modelkeep.repositories.keys import head_key, idempotency_key, to_text
from modelkeep.storage.attributes import item_size
from modelkeep.storage.table import (
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
COMPLETION_RESERVE: Final = 64
"""Bytes that completing adds to each artifact of an upload: the store's version id."""


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What an Idempotency-Key was settled on."""

    request_hash: str
    version: int | None


def change_writes(head: Head | None, change: Change[Any], operation: Operation) -> Sequence[Write]:
    """Head, subjects, events, and the outcome if a key asks for it. Raises `MetadataTooLargeError`."""
    return [
        Put(_within_size_limit(head_to_item(change.head, operation.id)), _generation_unchanged(head)),
        *(_write(move) for move in change.moves),
        *(Put(event_to_item(event), Absent()) for event in change.events),
        *_outcome(operation, change.version),
    ]


def outcome_writes(head: Head | None, decision: Unchanged[Any], operation: Operation) -> Sequence[Write]:
    """Nothing; with a key, its outcome alone, so that a late repeat changes nothing either."""
    noted = _outcome(operation, decision.version)
    return [*noted, Check(head_key(head.model), _generation_unchanged(head))] if noted and head else noted


async def find_outcome(table: Table, key: IdempotencyKey, now: datetime) -> IdempotencyRecord | None:
    """What the key was settled on, if it was and has not expired. Raises `Unavailable`."""
    item = await table.get(idempotency_key(key.name))
    if item is None or int(item[TTL]) <= now.timestamp():
        return None
    version = item["target_version"]
    return IdempotencyRecord(item["request_hash"], None if version is None else int(version))


def _generation_unchanged(head: Head | None) -> Condition:
    return Equals({"generation": head.generation}) if head else Absent()


def _write(move: ItemChange) -> Write:
    if isinstance(move, DeleteItem):
        return Delete(subject_key(move.subject), Present())
    item: Item = subject_to_item(move.subject)
    if isinstance(move.subject, Upload):
        item = _within_size_limit(item, COMPLETION_RESERVE * len(move.subject.artifacts))
    elif isinstance(move, UpdateItem) and move.grows:
        item = _within_size_limit(item)
    return Put(item, Absent() if isinstance(move, CreateItem) else Present())


def _within_size_limit(item: Item, reserve: int = 0) -> Item:
    """Hold what a caller adds against the limit; what only moves has been held against it before."""
    size = item_size(item) + reserve
    if size > MAX_ITEM_SIZE:
        raise MetadataTooLargeError("bytes of artifact list, metrics, tags and texts", size=size, limit=MAX_ITEM_SIZE)
    return item


def _outcome(operation: Operation, version: int | None) -> list[Write]:
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
