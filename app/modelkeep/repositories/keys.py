"""The layout of the table.

model_name              version      item
<model>                 n >= 1       a complete, live version; this partition has no other items
$head#<model>           0            the head, which every change of the model rewrites
$upload#<model>         n            an upload, until it is completed, abandoned or expired
$trash#<model>          n            a deleted version, until it is purged
$event#<model>          generation   one event of the history
$idem#<digest>          0            the record of a request with an Idempotency-Key; expires by `ttl`
$token#<id>             0            a registry token, without its secret; expires by `ttl`
$access                 0            issuers and trust rules, as an operator wrote them
$owner                  0            the id that this table shares with its bucket

A version number is in exactly one of the partitions live, upload and trash. Only `$idem#` and `$token#` items have a
`ttl`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Final

from modelkeep.domain.values import Digest
from modelkeep.storage.table import PARTITION, SORT, ItemKey

HEAD: Final = "$head#"
UPLOAD: Final = "$upload#"
TRASH: Final = "$trash#"
EVENT: Final = "$event#"
IDEMPOTENCY: Final = "$idem#"
TOKEN: Final = "$token#"  # noqa: S105 -- a prefix
ACCESS: Final = "$access"
OWNER: Final = "$owner"
CATALOG: Final = "models"
"""The partition of the catalog index that holds the heads of all models that are not deleted."""

TOKENS: Final = "tokens"
"""The partition of the catalog index that holds the created tokens, not those from an exchange."""


def head_key(model: str) -> ItemKey:
    """The key of a model's head."""
    return ItemKey(f"{HEAD}{model}", 0)


def version_key(model: str, number: int) -> ItemKey:
    """The key of a live version."""
    return ItemKey(model, number)


def upload_key(model: str, number: int) -> ItemKey:
    """The key of an upload."""
    return ItemKey(f"{UPLOAD}{model}", number)


def trash_key(model: str, number: int) -> ItemKey:
    """The key of a deleted version."""
    return ItemKey(f"{TRASH}{model}", number)


def event_key(model: str, generation: int) -> ItemKey:
    """The key of the event that created this generation."""
    return ItemKey(f"{EVENT}{model}", generation)


def idempotency_key(name: str) -> ItemKey:
    """The key of the record of a request with an Idempotency-Key."""
    return ItemKey(f"{IDEMPOTENCY}{name}", 0)


def token_key(token_id: str) -> ItemKey:
    """The key of a registry token."""
    return ItemKey(f"{TOKEN}{token_id}", 0)


def access_key() -> ItemKey:
    """The key of issuers and trust rules."""
    return ItemKey(ACCESS, 0)


def owner_key() -> ItemKey:
    """The key of the id that this table shares with its bucket."""
    return ItemKey(OWNER, 0)


def to_text(time: datetime) -> str:
    """A time as stored and sent: RFC 3339 in UTC, with Z and always microseconds, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; a time without a zone is taken as UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def keyed(key: ItemKey) -> dict[str, Any]:
    """The attributes that form an item's key."""
    return {PARTITION: key.partition, SORT: key.sort}


def optional_text(time: datetime | None) -> str | None:
    """A time as stored, or `None`."""
    return None if time is None else to_text(time)


def optional_time(text: str | None) -> datetime | None:
    """The inverse of `optional_text`."""
    return None if text is None else from_text(text)


def optional_int(value: Any) -> int | None:
    """A stored number, which the table returns as `Decimal`, or `None`."""
    return None if value is None else int(value)


def optional_digest(value: Any) -> Digest | None:
    """A stored SHA-256, or `None`."""
    return None if value is None else Digest(value)


def unknown(stored: Mapping[str, Any], known: AbstractSet[str]) -> dict[str, Any]:
    """The attributes of an item, or of a map in it, that this release does not know: every write puts them back.

    `known` are the names of all attributes that are read or written here. Having nothing unknown costs one comparison.
    """
    return {} if stored.keys() <= known else {name: stored[name] for name in stored.keys() - known}
