"""The picture of the table: what lies where.

model_name              version      what
<model>                 n >= 1       a complete, live version; nothing else is ever in this partition
$head#<model>           0            the head: what every change goes through
$upload#<model>         n            an upload, until it is completed, abandoned or expired
$trash#<model>          n            a deleted version, until it is purged
$event#<model>          generation   one event of the history
$idem#<digest>          0            what a request with an Idempotency-Key led to; expires by `ttl`
$token#<id>             0            a registry token, without its secret; expires by `ttl`
$access                 0            issuers and trust rules, as an operator wrote them

A version's number is in exactly one of the partitions live, upload and trash. Only `$idem#` and `$token#` items carry
`ttl`.
"""

from datetime import UTC, datetime
from typing import Any, Final

from modelkeep.storage.table import PARTITION, SORT, ItemKey

HEAD: Final = "$head#"
UPLOAD: Final = "$upload#"
TRASH: Final = "$trash#"
EVENT: Final = "$event#"
IDEMPOTENCY: Final = "$idem#"
TOKEN: Final = "$token#"  # noqa: S105 -- a prefix
ACCESS: Final = "$access"
CATALOG: Final = "models"
"""The partition of the catalog index that holds the heads of all models that are not deleted."""
TOKENS: Final = "tokens"
"""The partition of the catalog index that holds the tokens that were made by hand."""


def head_key(model: str) -> ItemKey:
    """Where a model's head lies."""
    return ItemKey(f"{HEAD}{model}", 0)


def version_key(model: str, number: int) -> ItemKey:
    """Where a live version lies."""
    return ItemKey(model, number)


def upload_key(model: str, number: int) -> ItemKey:
    """Where an upload lies."""
    return ItemKey(f"{UPLOAD}{model}", number)


def trash_key(model: str, number: int) -> ItemKey:
    """Where a deleted version lies."""
    return ItemKey(f"{TRASH}{model}", number)


def event_key(model: str, generation: int) -> ItemKey:
    """Where the event that made this generation lies."""
    return ItemKey(f"{EVENT}{model}", generation)


def idempotency_key(name: str) -> ItemKey:
    """Where the outcome of a request with an Idempotency-Key lies."""
    return ItemKey(f"{IDEMPOTENCY}{name}", 0)


def token_key(token_id: str) -> ItemKey:
    """Where a registry token lies."""
    return ItemKey(f"{TOKEN}{token_id}", 0)


def access_key() -> ItemKey:
    """Where issuers and trust rules lie."""
    return ItemKey(ACCESS, 0)


def to_text(time: datetime) -> str:
    """A time as kept and as sent: RFC 3339, UTC, with Z and always microseconds, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; a time without a zone is taken as UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def keyed(key: ItemKey) -> dict[str, Any]:
    """The attributes that say where an item lies."""
    return {PARTITION: key.partition, SORT: key.sort}


def optional_text(time: datetime | None) -> str | None:
    """A time as kept, or nothing."""
    return None if time is None else to_text(time)


def optional_time(text: str | None) -> datetime | None:
    """The inverse of `optional_text`."""
    return None if text is None else from_text(text)


def optional_int(value: Any) -> int | None:
    """A number as kept, which comes back as `Decimal`, or nothing."""
    return None if value is None else int(value)
