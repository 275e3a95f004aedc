"""Lists versions by a metric or by creation: the newest are read, since the table orders versions by number alone."""

import re
from contextlib import aclosing
from decimal import Decimal
from heapq import nsmallest
from typing import Final

from modelkeep.domain.errors import InvalidCursorError
from modelkeep.domain.models import Head, Version
from modelkeep.domain.version_selection import Order, Place, Selection
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.pages import Page
from modelkeep.repositories.versions import Versions

MAX_SORTED: Final = 1_000
"""Versions that one page reads: the newest."""

_POSITION: Final = re.compile(r"(-?\d{1,40}(?:\.\d{1,200})?(?:E[+-]?\d{1,3})?)?:([1-9]\d{0,9})\Z", re.ASCII)


async def list_sorted(
    versions: Versions, head: Head, selection: Selection, order: Order, *, scope: str, cursor: str | None, limit: int
) -> Page[Version]:
    """A page of those of the newest 1,000 versions that are selected, in order. Raises `InvalidCursorError`.

    A page continues behind the place of the last version of the page before, also if that one has moved since.
    """
    after = _decode(order, scope, cursor)
    places: dict[Place, Decimal | None] = {}
    read = 0
    async with aclosing(versions.walk(head.model)) as newest_first:
        async for version in newest_first:
            if read == MAX_SORTED:
                read += 1
                break
            read += 1
            if selection.has(version.with_head(head)):
                value = order.value_of(version)
                places[order.place(value, version.number)] = value
    ahead = [place for place in places if after is None or place > after]
    chosen = nsmallest(limit, ahead)
    found = await versions.find_many(head.model, [-place[2] for place in chosen])
    more = len(ahead) > limit
    return Page(
        [version for version in found if version],
        _encode(scope, places[chosen[-1]], -chosen[-1][2]) if more else None,
        older_left_out=read > MAX_SORTED,
    )


def _encode(scope: str, value: Decimal | None, number: int) -> str:
    return cursors.encode(scope, f"{'' if value is None else value}:{number}")


def _decode(order: Order, scope: str, cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    position = _POSITION.match(cursors.decode(scope, cursor))
    if not position:
        raise InvalidCursorError
    return order.place(Decimal(position[1]) if position[1] else None, int(position[2]))
