"""Page position <-> opaque text.

A cursor carries a checksum over the list it was issued for, so one that was altered, or brought from another list, is
refused instead of quietly skipping entries. It holds no secret and grants nothing: the list's own rules apply to each page.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from app.domain.errors import InvalidCursorError

_CHECK_BYTES: Final = 9


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
    return None if cursor is None else int(decode(scope, cursor))


def _check(scope: str, position: str) -> bytes:
    return hashlib.sha256(f"{scope}\n{position}".encode()).digest()[:_CHECK_BYTES]
