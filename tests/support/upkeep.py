"""What an operator's tests do behind the service's back: look into storage, edit the table, let time pass."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from modelkeep.admin.wording import sentence
from modelkeep.bootstrap import limits_of, open_storage, ownership_of
from modelkeep.domain.artifacts import KEY_PREFIX
from modelkeep.domain.events import Event
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.checker import ConsistencyChecker
from modelkeep.services.maintenance.sweeper import Sweeper
from modelkeep.settings import Settings
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import AbsentOrExpired, Delete, Item, ItemKey, Present, Put, Table


@dataclass(frozen=True)
class Storage:
    """Table and object store of a registry."""

    settings: Settings
    table: Table
    store: ObjectStore

    async def sweep(self, *, after: timedelta, dry_run: bool = False) -> list[str]:
        """What a sweep prints that is run when this time has passed."""
        sweeper = Sweeper(
            Ledger(self.table),
            Heads(self.table),
            Versions(self.table),
            TableScan(self.table),
            self.store,
            limits_of(self.settings),
            ownership_of(self.table, self.store, self.settings),
        )
        now = datetime.now(UTC) + after
        return [sentence(finding) async for finding in sweeper.sweep(now, dry_run=dry_run)]

    def checker(self) -> ConsistencyChecker:
        table = self.table
        return ConsistencyChecker(Heads(table), Versions(table), Events(table), TableScan(table), self.store)

    async def check(self) -> list[str]:
        """What `modelkeep check` prints of faults."""
        return [sentence(fault) async for fault in self.checker().check()]

    async def history(self, model: str) -> list[Event]:
        """All events of a model."""
        return await whole_history(self.table, model)

    async def keys(self) -> set[str]:
        return {found.key async for found in self.store.list_objects(KEY_PREFIX)}

    async def open_multiparts(self) -> set[str]:
        return {found.key async for found in self.store.list_multiparts(KEY_PREFIX)}

    async def items(self) -> dict[ItemKey, Item]:
        """Everything that the table holds."""
        page = await self.table.scan(limit=1000)
        assert not page.more
        return {ItemKey(item["model_name"], int(item["version"])): item for item in page.items}

    async def restore(self, items: Mapping[ItemKey, Item]) -> None:
        """Make the table hold what it held when `items` were read, as if it was restored to that moment."""
        for key, item in (await self.items()).items():
            if item != items.get(key):
                await self.remove(key)
        for key in set(items) - set(await self.items()):
            await self.put(items[key])

    async def item(self, key: ItemKey) -> Item:
        item = await self.table.get(key)
        assert item is not None
        return item

    async def put(self, item: Item) -> None:
        """Write an item over whatever is there."""
        key = ItemKey(item["model_name"], int(item["version"]))
        condition = Present() if await self.table.get(key) else AbsentOrExpired(datetime.now(UTC))
        await self.table.transact([Put(item, condition)], request_token=str(uuid4()))

    async def edit(self, key: ItemKey, **attributes: Any) -> None:
        """Change attributes of an item."""
        await self.put({**await self.item(key), **attributes})

    async def remove(self, key: ItemKey) -> None:
        await self.table.transact([Delete(key, Present())], request_token=str(uuid4()))


async def whole_history(table: Table, model: str) -> list[Event]:
    """All events of a model, over all pages."""
    events: list[Event] = []
    cursor: str | None = None
    while True:
        page = await Events(table).list(model, after=0, cursor=cursor, limit=100)
        events += page.items
        if (cursor := page.next_cursor) is None:
            return events


@asynccontextmanager
async def looking_into(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as (table, store):
        yield Storage(settings, table, store)
