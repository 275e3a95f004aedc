"""The `Table` in one SQLite file, for a machine without AWS; several processes may share it.

A transaction is one function on the one thread that writes: once begun it runs to its end, even if its caller is
cancelled, and it is on disk before it is acknowledged: `synchronous = FULL` flushes the WAL at each commit.
Source: https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from modelkeep.storage.attributes import encode, from_text, to_text
from modelkeep.storage.local.sqlite_file import connect, transaction, unavailable
from modelkeep.storage.table import (
    CATALOG_INDEX,
    PARTITION,
    STAGE_INDEX,
    TTL,
    Absent,
    AbsentOrExpired,
    Check,
    Condition,
    ConditionFailedError,
    Delete,
    Equals,
    Index,
    Item,
    ItemKey,
    Present,
    Put,
    TablePage,
    Write,
    check_keys,
    check_writes,
)

T = TypeVar("T")

_REQUEST_TOKEN_SECONDS: Final = 600
_MIN_SORT: Final = -(2**63)
_MAX_SORT: Final = 2**63 - 1
_ASCENDING: Final = "SELECT item FROM items WHERE partition = ? AND sort > ? ORDER BY sort LIMIT ?"
_DESCENDING: Final = "SELECT item FROM items WHERE partition = ? AND sort < ? ORDER BY sort DESC LIMIT ?"
_SCAN: Final = "SELECT item FROM items WHERE (partition, sort) > (?, ?) ORDER BY partition, sort LIMIT ?"
_LAST_CHARACTER: Final = "\U0010ffff"


class SqliteTable:
    """Items in a SQLite file."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._writer = stack.enter_context(closing(connect(path)))
        self._lister = stack.enter_context(closing(connect(path)))
        self._reader = stack.enter_context(closing(connect(path)))
        self._writing = stack.enter_context(ThreadPoolExecutor(1, "table-writer"))
        self._listing = stack.enter_context(ThreadPoolExecutor(1, "table-lister"))

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the file; create it and its folder if they do not exist. Raises `TableUnavailableError`."""
        with ExitStack() as stack:
            yield cls(path, stack)

    async def get(self, key: ItemKey) -> Item | None:
        """Read one item, consistently. Blocks the event loop for some 20 µs: a change of threads would take more.

        Raises `TableUnavailableError`.
        """
        with unavailable(self._path):
            return _get(self._reader, key)

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        """Read up to 100 items; blocks the event loop like `get`. Raises `TableUnavailableError`."""
        check_keys(keys)
        with unavailable(self._path):
            return [_get(self._reader, key) for key in keys]

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        """Read a partition in the order of its sort key. Raises `TableUnavailableError`."""
        statement, start = (_DESCENDING, _MAX_SORT) if descending else (_ASCENDING, _MIN_SORT)
        values = (partition, start if after is None else after, limit + 1)
        return await self._list(statement, values, _read_item, limit)

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        """List the keys of an index partition; this index never lags. Raises `TableUnavailableError`."""
        start = (prefix, _MIN_SORT) if after is None else (_sort_value(index, after, prefix), after.sort)
        values = (partition, *start, prefix + _LAST_CHARACTER, limit + 1)
        return await self._list(_index_query(index), values, ItemKey._make, limit)

    async def scan(self, *, after: ItemKey | None = None, limit: int) -> TablePage[Item]:
        """Read all items, page by page. Raises `TableUnavailableError`."""
        first = after or ItemKey("", 0)
        return await self._list(_SCAN, (*first, limit + 1), _read_item, limit)

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        """Apply all writes or none, once for each request token; see `Table.transact`."""
        check_writes(writes)
        await asyncio.get_running_loop().run_in_executor(self._writing, self._transact, writes, request_token)

    def _transact(self, writes: Sequence[Write], request_token: str) -> None:
        with transaction(self._writer, self._path):
            if not _already_applied(self._writer, request_token, writes):
                _check_conditions(self._writer, writes)
                for write in writes:
                    _apply(self._writer, write)

    async def _list(self, statement: str, values: Any, read: Callable[[Any], T], limit: int) -> TablePage[T]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._listing, self._select, statement, values, read, limit)

    def _select(self, statement: str, values: Any, read: Callable[[Any], T], limit: int) -> TablePage[T]:
        with unavailable(self._path):
            results = [read(row) for row in self._lister.execute(statement, values)]
        return TablePage(results[:limit], more=len(results) > limit)


def _index_query(index: Index) -> str:
    by = _column(index.sort)
    return (
        f"SELECT partition, sort FROM items WHERE {_column(index.partition)} = ?"  # noqa: S608 -- names of ours
        f" AND ({by}, sort) > (?, ?) AND {by} < ? ORDER BY {by}, sort LIMIT ?"
    )


def _sort_value(index: Index, after: ItemKey, prefix: str) -> str:
    return after.partition if index.sort == PARTITION else prefix


def _column(attribute: str) -> str:
    return "partition" if attribute == PARTITION else attribute


def _get(connection: sqlite3.Connection, key: ItemKey) -> Item | None:
    row = connection.execute("SELECT item FROM items WHERE partition = ? AND sort = ?", key).fetchone()
    return None if row is None else _read_item(row)


def _read_item(row: Sequence[str]) -> Item:
    return from_text(row[0])


def _already_applied(connection: sqlite3.Connection, request_token: str, writes: Sequence[Write]) -> bool:
    """Whether these writes were applied under this request token; if not, record that they are."""
    fingerprint = _fingerprint(writes)
    connection.execute("DELETE FROM tokens WHERE sent_at < ?", (time.time() - _REQUEST_TOKEN_SECONDS,))
    row = connection.execute("SELECT writes FROM tokens WHERE token = ?", (request_token,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO tokens VALUES (?, ?, ?)", (request_token, fingerprint, time.time()))
        return False
    if row[0] != fingerprint:
        raise ValueError("the request token was sent before with other writes")
    return True


def _fingerprint(writes: Sequence[Write]) -> str:
    texts = [f"{type(write).__name__} {write.key} {write.condition} {_text(write)}" for write in writes]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _text(write: Write) -> str:
    return to_text(write.item) if isinstance(write, Put) else ""


def _check_conditions(connection: sqlite3.Connection, writes: Sequence[Write]) -> None:
    present = [_get(connection, write.key) for write in writes]
    failed = [not _holds(write.condition, item) for write, item in zip(writes, present, strict=True)]
    if any(failed):
        raise ConditionFailedError(failed, [item if bad else None for item, bad in zip(present, failed, strict=True)])


def _holds(condition: Condition, item: Item | None) -> bool:
    match condition:
        case Absent():
            return item is None
        case Present():
            return item is not None
        case AbsentOrExpired():
            return item is None or _has_expired(item, condition.epoch_seconds)
        case Equals(attributes=attributes):
            return item is not None and all(_equal(item, name, value) for name, value in attributes.items())


def _equal(item: Item, name: str, value: str | int) -> bool:
    return name in item and encode({name: item[name]}) == encode({name: value})


def _has_expired(item: Item, seconds: int) -> bool:
    ttl = item.get(TTL)
    return isinstance(ttl, Decimal) and ttl <= seconds


def _apply(connection: sqlite3.Connection, write: Write) -> None:
    match write:
        case Put(item=item):
            indexed = (item.get(STAGE_INDEX.sort), item.get(CATALOG_INDEX.partition))
            row = (*write.key, to_text(item), *indexed)
            connection.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)", row)
        case Delete(key=key):
            connection.execute("DELETE FROM items WHERE partition = ? AND sort = ?", key)
        case Check():
            pass
