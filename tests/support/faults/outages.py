"""A table that cannot be read or written for a while, whatever drives it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import CommitStateUnknownError, TableUnavailableError

_CALLS: Final = ("get", "get_many", "query", "query_index", "scan", "transact")


class Outage:
    """What befalls every call of every table of this process: nothing, at first."""

    def __init__(self) -> None:
        self.is_on = False
        self.hangs = False
        self.calls = 0

    def begin(self, *, hangs: bool = False) -> None:
        """From now on no call is answered; or it is refused, by default."""
        self.is_on, self.hangs = True, hangs

    def end(self) -> None:
        """From now on all is well."""
        self.is_on = False

    async def meet(self, call: str) -> None:
        self.calls += 1
        if not self.is_on:
            return
        if self.hangs:
            await asyncio.Event().wait()
        raise (
            CommitStateUnknownError("the table is away")
            if call == "transact"
            else TableUnavailableError("the table is away")
        )


@contextmanager
def outages() -> Iterator[Outage]:
    """Let tables be away as this says until the block ends."""
    outage = Outage()
    local, aws = _calls(SqliteTable, outage), _calls(DynamoDbTable, outage)
    with mock.patch.multiple(SqliteTable, **local), mock.patch.multiple(DynamoDbTable, **aws):
        yield outage


def _calls(table: type, outage: Outage) -> dict[str, Any]:
    return {name: _meeting(outage, name, getattr(table, name)) for name in _CALLS}


def _meeting(outage: Outage, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    async def meeting(*arguments: Any, **options: Any) -> Any:
        await outage.meet(name)
        return await call(*arguments, **options)

    return meeting
