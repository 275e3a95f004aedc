"""Writes one item that is no part of a model's history, and so does not go through the ledger."""

import asyncio
from typing import Final
from uuid import uuid4

from modelkeep.domain.errors import OutcomeUnknownError, UnavailableError
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.writes import too_large
from modelkeep.storage.table import (
    CommitStateUnknownError,
    Condition,
    ConditionFailedError,
    Item,
    Put,
    Table,
    TableUnavailableError,
    TransactionConflictError,
    WritesTooLargeError,
)

ATTEMPTS: Final = 6
BACKOFF_BASE_SECONDS: Final = 0.02
BACKOFF_CAP_SECONDS: Final = 1.0


async def put_idempotently(table: Table, item: Item, condition: Condition, *, what: str) -> bool:
    """Write the item if the condition holds; return `False`, and write nothing, if it does not.

    After a lost reply the same request is sent again, and takes effect once; an equal item that is found in its place
    is taken for this one. Raises `UnavailableError` if certainly nothing was written, else `OutcomeUnknownError`, which
    names `what`; `MetadataTooLargeError`.
    """
    writes, request_token, unknown = [Put(item, condition)], str(uuid4()), False
    for attempt in range(ATTEMPTS):
        try:
            await table.transact(writes, request_token=request_token)
        except ConditionFailedError as failure:
            return failure.items[0] == item
        except WritesTooLargeError:
            raise too_large(writes) from None
        except (TransactionConflictError, CommitStateUnknownError, TableUnavailableError) as error:
            unknown = unknown or isinstance(error, CommitStateUnknownError)
            if isinstance(error, TableUnavailableError) and not unknown:
                raise
        else:
            return True
        await asyncio.sleep(full_jitter(attempt, base=BACKOFF_BASE_SECONDS, cap=BACKOFF_CAP_SECONDS))
    if unknown:
        raise OutcomeUnknownError(what)
    raise UnavailableError("The table is too busy. Nothing was changed; try again.")
