"""What lies between the ledger and a bad network in the real product: the SDK, which waits, and sends again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

from modelkeep.storage.aws.session import CONFIG
from modelkeep.storage.table import (
    CommitStateUnknownError,
    Table,
    TableUnavailableError,
    TransactionConflictError,
    Write,
)

T = TypeVar("T")

_CONFIG: Final[Any] = CONFIG
ATTEMPTS: Final[int] = _CONFIG.retries["total_max_attempts"]
ANSWER_SECONDS: Final[float] = _CONFIG.read_timeout


def resending(table: Table) -> Table:
    """Any table, reached as the driver on AWS reaches DynamoDB.

    A call without an answer is given up after the read timeout that is configured there, and what was lost, given up or
    turned away is sent again as often, after the pauses of botocore's standard mode. What an answer then means follows
    `modelkeep.storage.aws.dynamodb_failures`: after a resend only success and a refused condition are certain.
    """
    return cast("Table", _Resending(table))


class _Resending:
    def __init__(self, table: Table) -> None:
        self._table = table

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        read = getattr(self._table, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await _read(partial(read, *args, **kwargs))

        return call

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await self._table.transact(writes, request_token=request_token)
            except (CommitStateUnknownError, TableUnavailableError, TimeoutError):
                await _pause(attempt)
            except TransactionConflictError:
                if attempt == 1:
                    raise
                raise CommitStateUnknownError("an earlier copy may be under way") from None
        raise CommitStateUnknownError("no answer to any copy")


async def _read(call: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await call()
        except (TableUnavailableError, TimeoutError):
            await _pause(attempt)
    raise TableUnavailableError("no answer to any copy")


async def _pause(attempt: int) -> None:
    """As `botocore.retries.standard.ExponentialBackoff` has it, between two attempts."""
    if attempt < ATTEMPTS:
        await asyncio.sleep(random.uniform(0, 2 ** (attempt - 1)))
