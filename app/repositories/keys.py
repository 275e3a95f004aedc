"""The picture of the table: what lies where.

model_name              version      what
<model>                 n >= 1       a complete, live version; nothing else is ever in this partition
$head#<model>           0            the head: what every change goes through
$upload#<model>         n            an upload, until it is completed, abandoned or expired
$trash#<model>          n            a deleted version, until it is purged
$event#<model>          generation   one event of the history
$idem#<digest>          0            what a request with an Idempotency-Key led to; expires by `ttl`

A version's number is in exactly one of the partitions live, upload and trash. Only `$idem#` items carry `ttl`.
"""

from datetime import UTC, datetime
from typing import Any, Final

from app.storage.table import PARTITION, SORT, Key

HEAD: Final = "$head#"
UPLOAD: Final = "$upload#"
TRASH: Final = "$trash#"
EVENT: Final = "$event#"
IDEMPOTENCY: Final = "$idem#"
CATALOG: Final = "models"
"""The one partition of the catalog index: the heads of all models that are not deleted."""


def head_key(model: str) -> Key:
    """Where a model's head lies."""
    return Key(f"{HEAD}{model}", 0)


def version_key(model: str, number: int) -> Key:
    """Where a live version lies."""
    return Key(model, number)


def upload_key(model: str, number: int) -> Key:
    """Where an upload lies."""
    return Key(f"{UPLOAD}{model}", number)


def trash_key(model: str, number: int) -> Key:
    """Where a deleted version lies."""
    return Key(f"{TRASH}{model}", number)


def event_key(model: str, generation: int) -> Key:
    """Where the event that made this generation lies."""
    return Key(f"{EVENT}{model}", generation)


def idempotency_key(name: str) -> Key:
    """Where the outcome of a request with an Idempotency-Key lies."""
    return Key(f"{IDEMPOTENCY}{name}", 0)


def to_text(time: datetime) -> str:
    """A time as kept and as sent: RFC 3339, UTC, with Z and always microseconds, so that text order is time order."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; a time without a zone is taken as UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def keyed(key: Key) -> dict[str, Any]:
    """The attributes that say where an item lies."""
    return {PARTITION: key.partition, SORT: key.sort}


def optional_int(value: Any) -> int | None:
    """A number as kept, which comes back as `Decimal`, or nothing."""
    return None if value is None else int(value)
