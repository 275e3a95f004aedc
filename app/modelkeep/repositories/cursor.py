"""Page position <-> opaque text.

A cursor carries a checksum over the list it was issued for, so one that was altered, or brought from another list, is
refused instead of quietly skipping entries. It holds no secret and grants nothing: the list's own rules hold for each
page.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from modelkeep.domain.errors import InvalidCursorError

_CHECK_BYTES: Final = 9
_LONGEST_NAME: Final = 1024
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")


def encode(scope: str, position: str) -> str:
    """Make a cursor that continues the list `scope` after `position`."""
    return urlsafe_b64encode(_check(scope, position) + position.encode()).decode("ascii").rstrip("=")


def decode(scope: str, cursor: str) -> str:
    """Read the position back. Raises `InvalidCursorError` unless the cursor was issued for this list, bit for bit."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = raw[_CHECK_BYTES:].decode()
    except ValueError:
        raise InvalidCursorError from None
    if encode(scope, position) != cursor:
        raise InvalidCursorError
    return position


def decode_number(scope: str, cursor: str | None) -> int | None:
    """Read the position of a list that is ordered by number; `None` begins it."""
    if cursor is None:
        return None
    position = decode(scope, cursor)
    if not _NUMBER.match(position):
        raise InvalidCursorError
    return int(position)


def decode_name(scope: str, cursor: str | None, *, prefix: str) -> str | None:
    """Read the position of a list of the models whose names start with `prefix`; `None` begins it."""
    if cursor is None:
        return None
    position = decode(scope, cursor)
    if not (position.startswith(prefix) and 0 < len(position.encode()) <= _LONGEST_NAME):
        raise InvalidCursorError
    return position


def _check(scope: str, position: str) -> bytes:
    return hashlib.sha256(f"{scope}\n{position}".encode()).digest()[:_CHECK_BYTES]
