"""The `Range` header (RFC 9110, section 14.2), limited to one range of bytes."""

import re
from typing import Final

from modelkeep.domain.errors import RangeNotSatisfiableError

_ONE_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*\Z", re.ASCII | re.IGNORECASE)


def parse_range(header: str, size: int) -> range | None:
    """The positions of a range; `None` for a header that a server may ignore: several ranges, or none that is valid.

    Raises `RangeNotSatisfiableError`.
    """
    found = _ONE_RANGE.match(header)
    if found is None or not (found[1] or found[2]):
        return None
    return _suffix(int(found[2]), size) if not found[1] else _from(int(found[1]), found[2], size)


def _suffix(length: int, size: int) -> range:
    if not length or not size:
        raise RangeNotSatisfiableError(size)
    return range(max(0, size - length), size)


def _from(first: int, last: str, size: int) -> range | None:
    if last and int(last) < first:
        return None
    if first >= size:
        raise RangeNotSatisfiableError(size)
    return range(first, min(int(last) + 1, size) if last else size)
