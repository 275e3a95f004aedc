"""The one way to change a model: head, items, events and idempotency record in one `OptimisticTransaction`."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import uuid4

from modelkeep.domain import changes
from modelkeep.domain.changes import Decision, Unchanged
from modelkeep.domain.errors import ContentionError
from modelkeep.domain.events import Operation
from modelkeep.domain.models import Head
from modelkeep.kit.keyed_lock import KeyedLock
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.optimistic_transaction import Decide, OnChange, OnDuplicate, OptimisticTransaction
from modelkeep.repositories.versions import Versions, fitting
from modelkeep.storage.table import Table

T = TypeVar("T")

WRITER_LOCK_TIMEOUT_SECONDS: Final = 30.0
"""Longest wait for earlier writers in this process, each of which takes milliseconds, or 8 s where the table fails."""


class Ledger:
    """Applies changes to models; within this process one at a time for each model, so that conflicts are rare.

    `on_change(change)` is called once for each change of this process that certainly took effect.
    """

    def __init__(self, table: Table, on_change: OnChange = lambda _: None) -> None:
        self._table = table
        self._on_change = on_change
        self._heads = Heads(table)
        self._versions = Versions(table)
        self._writers = KeyedLock()

    async def head(self, model: str) -> Head | None:
        """The head as it is now. For a model that the public recipe wrote, the head is created by the first call."""
        return await self._heads.find(model) or await self._adopt(model)

    async def apply(self, model: str, operation: Operation, decide: Decide[T], *, on_duplicate: OnDuplicate[T]) -> T:
        """Apply the decision that `decide` makes on the present head, once, and return its result.

        `decide` is called again whenever the head has changed. If the operation's Idempotency-Key was settled before,
        `on_duplicate` is called instead, with the version that it was settled on. Raises what `decide` raises;
        `IdempotencyKeyReusedError`; `MetadataTooLargeError`; `UnavailableError`, `ContentionError` and
        `NewerFormatError` if certainly nothing was changed; `OutcomeUnknownError` if the outcome could not be learnt
        within 8 seconds.
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._writers.acquire(model, timeout=WRITER_LOCK_TIMEOUT_SECONDS))
            except TimeoutError:
                raise ContentionError(model) from None
            return await OptimisticTransaction(
                self._table, self.head, model, operation, decide, on_duplicate, self._on_change
            ).run()

    async def _adopt(self, model: str) -> Head | None:
        versions = [version async for version in self._versions.walk(model)]
        if not versions:
            return None
        operation = Operation(id=str(uuid4()), actor="registry", at=datetime.now(UTC), request_id="")

        async def decide(head: Head | None) -> Decision[Head]:
            return Unchanged(result=head) if head else changes.adopt(model, versions, operation, take=fitting)

        find_head = self._heads.find
        return await OptimisticTransaction(
            self._table, find_head, model, operation, decide, _no_duplicate, self._on_change
        ).run()


async def _no_duplicate(_: int | None) -> Head:
    raise AssertionError("an adoption has no Idempotency-Key")
