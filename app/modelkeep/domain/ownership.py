"""The mark by which a table and its bucket know each other."""

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

OWNER_KEY: Final = "modelkeep/owner.json"
"""Where the mark lies in a bucket: outside the keys of artifacts, so that nothing takes it for an orphan."""

_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class OwnerMark:
    """The table that owns a bucket: a random id, which only that table has too, and the table's name.

    The name tells a table from its copies, which have the same id, such as one restored from a backup.
    """

    owner: str
    table: str

    def to_json(self) -> bytes:
        """The bytes of the object."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """The inverse of `to_json`; of anything else a mark that is no table's."""
        try:
            found = json.loads(content)
            return cls(owner=str(found["owner"]), table=str(found["table"]))
        except (ValueError, TypeError, KeyError):
            return cls(owner="", table=_UNKNOWN)
