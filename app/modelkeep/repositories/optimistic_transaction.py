"""Applies one operation with optimistic concurrency and reports its true outcome: applied, not applied or unknown.

Compare-and-set on `generation`: a transaction reads the head, asks for a decision, and writes it under the condition
that the head still has the same generation. A lost reply is resolved by the event: the operation whose event has the
number g + 1 is the one that changed generation g. So after an attempt with an unknown outcome the head is read again.
If its generation has grown, the event shows whose change it was; if not, the same writes are sent again under the same
request token. A domain error is only raised by a decision on a head that did not change meanwhile, and a failure is
only reported when no attempt of the operation can take effect any more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID, uuid5

import structlog

from modelkeep.domain.changes import Change, Decision
from modelkeep.domain.errors import (
    ContentionError,
    IdempotencyKeyReusedError,
    OutcomeUnknownError,
    RegistryError,
    TemporaryError,
    UnavailableError,
)
from modelkeep.domain.events import Operation
from modelkeep.domain.models import Head, require_known_format
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.events import Events
from modelkeep.repositories.writes import (
    IdempotencyRecord,
    change_writes,
    find_idempotency_record,
    too_large,
    unchanged_writes,
)
from modelkeep.storage.table import (
    CommitStateUnknownError,
    ConditionFailedError,
    RequestRejectedError,
    Table,
    TableUnavailableError,
    TransactionConflictError,
    Write,
    WritesTooLargeError,
)

_log = structlog.get_logger("modelkeep.ledger")

T = TypeVar("T")
R = TypeVar("R")

DEADLINE_SECONDS: Final = 8.0
SEND_DEADLINE_FRACTION: Final = 0.6
"""The part of the deadline after which nothing new is sent: the rest outlasts a request that DynamoDB never answers."""

MAX_ATTEMPTS: Final = 8
"""Decisions on the same generation before the operation fails."""

BACKOFF_BASE_SECONDS: Final = 0.02
BACKOFF_CAP_SECONDS: Final = 1.0

Decide = Callable[[Head | None], Awaitable[Decision[T]]]
OnDuplicate = Callable[[int | None], Awaitable[T]]
FindHead = Callable[[str], Awaitable[Head | None]]
OnChange = Callable[[Change[object]], None]


@dataclass(frozen=True, slots=True)
class _Attempt(Generic[T]):
    """A transaction that turns `generation` into the next; a resend has the same writes and request token."""

    generation: int
    writes: Sequence[Write]
    request_token: str
    decision: Decision[T]


class OptimisticTransaction(Generic[T]):
    """One operation on one model, applied at most once.

    `decide` is called again after each change of the head; `on_duplicate` is called with the version that the
    operation's Idempotency-Key was settled on, instead of a decision, if it was settled before.
    """

    def __init__(
        self,
        table: Table,
        find_head: FindHead,
        model: str,
        operation: Operation,
        decide: Decide[T],
        on_duplicate: OnDuplicate[T],
        on_change: OnChange,
    ) -> None:
        self._table = table
        self._events = Events(table)
        self._find_head = find_head
        self._model = model
        self._operation = operation
        self._decide = decide
        self._on_duplicate = on_duplicate
        self._on_change = on_change
        self._generation = -1
        self._decisions = 0
        self._pauses = 0
        self._saw_contention = False
        self._send_deadline = time.monotonic() + SEND_DEADLINE_FRACTION * DEADLINE_SECONDS
        self._last_attempt: _Attempt[T] | None = None
        self._in_flight = False

    async def run(self) -> T:
        """Apply the operation within 8 seconds. An unexpected exception after a send leaves the outcome unknown."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._run_until_settled()
        except TimeoutError:
            raise self._timeout_error() from None
        except RegistryError:
            raise
        except Exception:
            if not self._in_flight:
                raise
            _log.exception("commit_interrupted", model=self._model, request_id=self._operation.request_id)
            raise OutcomeUnknownError(self._model) from None

    async def _run_until_settled(self) -> T:
        while True:
            head = await self._retry_reads(lambda: self._find_head(self._model))
            if self._last_attempt and await self._was_applied(self._last_attempt, head):
                return self._finish(self._last_attempt)
            self._reset_attempts_if_moved(head)
            attempt: _Attempt[T] | None
            if self._last_attempt and self._in_flight:
                attempt = self._last_attempt
            elif record := await self._find_record():
                return await self._on_duplicate(record.version)
            elif self._decisions >= MAX_ATTEMPTS or self._past_send_deadline():
                raise self._timeout_error()
            else:
                attempt = await self._decide_attempt(head)
                if attempt and attempt.writes and self._past_send_deadline():
                    raise self._timeout_error()
            if attempt and await self._send(attempt):
                return self._finish(attempt)

    def _past_send_deadline(self) -> bool:
        return time.monotonic() > self._send_deadline

    def _finish(self, attempt: _Attempt[T]) -> T:
        if isinstance(attempt.decision, Change):
            self._on_change(attempt.decision)
        return attempt.decision.result

    def _reset_attempts_if_moved(self, head: Head | None) -> None:
        """Reset the attempt counter when another writer has advanced the generation: a busy model is no failure."""
        if _generation(head) != self._generation:
            self._generation, self._decisions, self._pauses = _generation(head), 0, 0

    async def _decide_attempt(self, head: Head | None) -> _Attempt[T] | None:
        """The transaction of a decision; `None` if the decision cannot be relied on.

        A decision to write is guarded by its own condition on the head. One to write nothing, or to refuse, is only
        good if the head did not change while other items were read for it. Raises `NewerFormatError`, and asks for no
        decision, if a newer release wrote the head in a format that this one cannot write.
        """
        require_known_format(head)
        self._decisions += 1
        try:
            attempt = self._prepare(head, await self._decide(head))
        except TemporaryError:
            raise
        except RegistryError:
            if await self._has_moved(head):
                return None
            raise
        return None if not attempt.writes and await self._has_moved(head) else attempt

    async def _has_moved(self, head: Head | None) -> bool:
        if _generation(await self._find_head(self._model)) == _generation(head):
            return False
        await self._pause()
        return True

    def _prepare(self, head: Head | None, decision: Decision[T]) -> _Attempt[T]:
        writes = (
            change_writes(head, decision, self._operation)
            if isinstance(decision, Change)
            else unchanged_writes(head, decision, self._operation)
        )
        request_token = uuid5(UUID(self._operation.id), f"{_generation(head)}/{self._decisions}")
        return _Attempt(_generation(head), writes, str(request_token), decision)

    async def _send(self, attempt: _Attempt[T]) -> bool:
        """Whether it certainly took effect."""
        if not attempt.writes:
            return True
        sent_before, self._last_attempt, self._in_flight = self._in_flight, attempt, True
        try:
            await self._table.transact(attempt.writes, request_token=attempt.request_token)
        except CommitStateUnknownError:
            await self._pause()
        except ConditionFailedError:
            self._in_flight = False
            await self._pause()
        except TransactionConflictError:
            self._in_flight = sent_before
            await self._pause()
        except WritesTooLargeError:
            self._in_flight = False
            raise too_large(attempt.writes) from None
        except RequestRejectedError:
            self._in_flight = False
            raise
        except TableUnavailableError:
            self._in_flight = sent_before
            if not sent_before:
                raise
            await self._pause()
        else:
            return True
        return False

    async def _was_applied(self, attempt: _Attempt[T], head: Head | None) -> bool:
        """Whether the attempt advanced the head. If another change did, the attempt can never take effect."""
        if attempt.generation >= _generation(head):
            return False
        event = await self._retry_reads(lambda: self._events.find(self._model, attempt.generation + 1))
        if event and event.operation_id == self._operation.id:
            return True
        self._in_flight = False
        return False

    async def _find_record(self) -> IdempotencyRecord | None:
        key = self._operation.idempotency
        if key is None:
            return None
        record = await find_idempotency_record(self._table, key, self._operation.at)
        if record and record.request_hash != key.request_hash:
            raise IdempotencyKeyReusedError
        return record

    async def _retry_reads(self, read: Callable[[], Awaitable[R]]) -> R:
        """While an attempt is in flight, repeat a read that fails until the deadline."""
        while True:
            try:
                return await read()
            except TemporaryError:
                if not self._in_flight:
                    raise
                await self._pause()

    async def _pause(self) -> None:
        self._saw_contention = True
        self._pauses += 1
        await asyncio.sleep(full_jitter(self._pauses, base=BACKOFF_BASE_SECONDS, cap=BACKOFF_CAP_SECONDS))

    def _timeout_error(self) -> Exception:
        if self._in_flight:
            return OutcomeUnknownError(self._model)
        if self._saw_contention:
            return ContentionError(self._model)
        return UnavailableError("Storage took too long to answer. Nothing was changed; try again.")


def _generation(head: Head | None) -> int:
    return head.generation if head else 0
