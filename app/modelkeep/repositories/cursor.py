"""Page position <-> opaque text.

A cursor carries a checksum of the list it was issued for, so that one that was altered, or is from another list, is
rejected instead of silently skipping entries. It is no secret and grants nothing: access is checked for each page.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from modelkeep.domain.errors import InvalidCursorError

_CHECKSUM_BYTES: Final = 9
_MAX_NAME_BYTES: Final = 1024
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")


def encode(scope: str, position: str) -> str:
    """A cursor that continues the list `scope` after `position`."""
    return urlsafe_b64encode(_checksum(scope, position) + position.encode()).decode("ascii").rstrip("=")


def decode(scope: str, cursor: str) -> str:
    """The position in a cursor. Raises `InvalidCursorError` unless exactly this text was issued for this list."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = raw[_CHECKSUM_BYTES:].decode()
    except ValueError:
        raise InvalidCursorError from None
    if encode(scope, position) != cursor:
        raise InvalidCursorError
    return position


def decode_number(scope: str, cursor: str | None) -> int | None:
    """The position in a list that is ordered by number; `None` at its start. Raises `InvalidCursorError`."""
    if cursor is None:
        return None
    position = decode(scope, cursor)
    if not _NUMBER.match(position):
        raise InvalidCursorError
    return int(position)


def decode_name(scope: str, cursor: str | None, *, prefix: str) -> str | None:
    """The position in a list of names that start with `prefix`; `None` at its start. Raises `InvalidCursorError`."""
    if cursor is None:
        return None
    position = decode(scope, cursor)
    if not (position.startswith(prefix) and 0 < len(position.encode()) <= _MAX_NAME_BYTES):
        raise InvalidCursorError
    return position


def _checksum(scope: str, position: str) -> bytes:
    return hashlib.sha256(f"{scope}\n{position}".encode()).digest()[:_CHECKSUM_BYTES]
