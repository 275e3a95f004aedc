"""Reads the history of models."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

from modelkeep.domain.events import Event
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.items import event_from_item
from modelkeep.repositories.keys import EVENT, event_key
from modelkeep.repositories.pages import Page
from modelkeep.storage.table import Table

_PAGE_SIZE: Final = 100


class Events:
    """The events of models."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, model: str, generation: int) -> Event | None:
        """The event that created this generation; `None` if there is none yet."""
        item = await self._table.get(event_key(model, generation))
        return event_from_item(item) if item else None

    async def list(self, model: str, *, after: int, cursor: str | None, limit: int) -> Page[Event]:
        """The events after a generation, oldest first. Raises `InvalidCursorError`."""
        scope = f"events {model}"
        position = cursors.decode_number(scope, cursor) or after
        page = await self._table.query(f"{EVENT}{model}", after=position, limit=limit)
        events = [event_from_item(item) for item in page.items]
        return Page(events, cursors.encode(scope, str(events[-1].generation)) if page.more and events else None)

    async def walk(self, model: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """All events after a generation, oldest first."""
        more = True
        while more:
            page = await self._table.query(f"{EVENT}{model}", after=after, limit=_PAGE_SIZE)
            for item in page.items:
                event = event_from_item(item)
                after = event.generation
                yield event
            more = page.more

    async def walk_back(self, model: str, *, after: int) -> AsyncGenerator[Event, None]:
        """All events before the generation `after`, newest first."""
        more = True
        while more:
            page = await self._table.query(f"{EVENT}{model}", after=after, descending=True, limit=_PAGE_SIZE)
            for item in page.items:
                event = event_from_item(item)
                after = event.generation
                yield event
            more = page.more

    async def generation_at(self, model: str, at: datetime, *, latest: int) -> int:
        """The generation of the latest event that is not later than `at`, 0 if there is none, by binary search.

        Events have the time of the process that wrote them. So where clocks differ, and an event is earlier than the
        one before it, the answer is exact up to that difference.
        """
        low, high = 0, latest + 1
        while high - low > 1:
            middle = (low + high) // 2
            event = await self.find(model, middle)
            if event and event.at <= at:
                low = middle
            else:
                high = middle
        return low
