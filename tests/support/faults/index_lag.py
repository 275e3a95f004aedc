"""Indexes that lag behind: beside each table a copy of it, which learns of every write some seconds later.

No emulator has this. An index of the copy is a true earlier state of the index, for any query and any paging.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from tests.support.faults.proxy import Reply

Typed = Mapping[str, Mapping[str, Any]]
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Reply]]
"""Sends an operation and its JSON to the server."""

_SINGLE: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
_BATCH: Final = 25
_DEFINITION: Final = ("AttributeDefinitions", "KeySchema")
_INDEX: Final = ("IndexName", "KeySchema", "Projection")


class _Copy:
    """One table's copy, and the writes that it has not learnt of."""

    def __init__(self, ask: Ask, table: str) -> None:
        self.name = f"lagging-{uuid4()}"
        self._ask = ask
        self._table = table
        self._keys: Sequence[str] = ()
        self._unlearnt: deque[tuple[float, Typed, Typed | None]] = deque()
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """Be as the table is now."""
        table = (await self._asked("DescribeTable", {"TableName": self._table}))["Table"]
        self._keys = [key["AttributeName"] for key in table["KeySchema"]]
        indexes = [{name: index[name] for name in _INDEX} for index in table["GlobalSecondaryIndexes"]]
        definition = {name: table[name] for name in _DEFINITION} | {"GlobalSecondaryIndexes": indexes}
        await self._asked("CreateTable", {"TableName": self.name, "BillingMode": "PAY_PER_REQUEST", **definition})
        start: dict[str, Any] = {}
        while True:
            page = await self._asked("Scan", {"TableName": self._table, "ConsistentRead": True, **start})
            await self._write([{"PutRequest": {"Item": item}} for item in page["Items"]])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def end(self) -> None:
        await self._asked("DeleteTable", {"TableName": self.name})

    def key_of(self, item: Typed) -> Typed:
        return {name: item[name] for name in self._keys}

    async def note(self, key: Typed) -> None:
        """Take down what stands at a key that was written just now."""
        at = time.monotonic()
        read = {"TableName": self._table, "Key": key, "ConsistentRead": True}
        async with self._turn:
            self._unlearnt.append((at, key, (await self._asked("GetItem", read)).get("Item")))

    async def learn(self, until: float) -> None:
        """Catch up with what was written until then."""
        async with self._turn:
            due: dict[str, Any] = {}
            while self._unlearnt and self._unlearnt[0][0] <= until:
                _, key, item = self._unlearnt.popleft()
                due[json.dumps(key, sort_keys=True)] = (
                    {"DeleteRequest": {"Key": key}} if item is None else {"PutRequest": {"Item": item}}
                )
            await self._write(list(due.values()))

    async def _write(self, requests: Sequence[Any]) -> None:
        for start in range(0, len(requests), _BATCH):
            await self._asked("BatchWriteItem", {"RequestItems": {self.name: requests[start : start + _BATCH]}})

    async def _asked(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        reply = await self._ask(operation, parameters)
        if reply.status != 200:
            raise RuntimeError(f"{operation}: {reply.body.decode()}")
        return json.loads(reply.body)


class Lagging:
    """The copies of every table that is written or asked for an index."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._copies: dict[str, _Copy] = {}
        self._turn = asyncio.Lock()

    async def query(self, parameters: Mapping[str, Any], lag: float) -> Reply:
        """Answer a Query of an index as the index was `lag` seconds ago."""
        copy = await self._copy_of(parameters["TableName"])
        await copy.learn(time.monotonic() - lag)
        return await self._ask("Query", {**parameters, "TableName": copy.name})

    async def write(
        self, operation: str, parameters: Mapping[str, Any], effect: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """Let a request have its effect, and note what it wrote if it is a write."""
        written = list(_written(operation, parameters))
        copies = [await self._copy_of(table) for table, _ in written]
        reply = await effect()
        if reply.status == 200:
            for copy, (_, item) in zip(copies, written, strict=True):
                await copy.note(copy.key_of(item))
        return reply

    async def end(self) -> None:
        """Leave no copy behind."""
        for copy in self._copies.values():
            await copy.end()

    async def _copy_of(self, table: str) -> _Copy:
        async with self._turn:
            if table not in self._copies:
                copy = _Copy(self._ask, table)
                await copy.begin()
                self._copies[table] = copy
            return self._copies[table]


def _written(operation: str, parameters: Mapping[str, Any]) -> Iterator[tuple[str, Typed]]:
    """The table and the item, or at least its key, of each write."""
    if operation in _SINGLE:
        yield parameters["TableName"], parameters.get("Item") or parameters["Key"]
    if operation == "BatchWriteItem":
        for table, requests in parameters["RequestItems"].items():
            for request in requests:
                (write,) = request.values()
                yield table, write.get("Item") or write["Key"]
    if operation == "TransactWriteItems":
        for request in parameters["TransactItems"]:
            ((kind, write),) = request.items()
            if kind != "ConditionCheck":
                yield write["TableName"], write.get("Item") or write["Key"]
