"""One operation on its way into the table, told truthfully.

A commit reads the head, asks for a decision, and writes it under the condition that the head is still of the same
generation. What a lost reply hides is found by the event: whoever wrote event g + 1 changed generation g. So an attempt
whose outcome is unknown is followed by a look at the head: if it has moved, the event tells whose change it was; if
not, the same bytes are sent again under the same token. A domain error only ever comes from a decision on a head that
stood still, and a failure is only reported when no attempt of the operation can take effect any more.
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
from modelkeep.domain.models import Head
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.events import Events
from modelkeep.repositories.writes import IdempotencyRecord, change_writes, find_outcome, outcome_writes
from modelkeep.storage.table import (
    CommitStateUnknownError,
    ConditionFailedError,
    Table,
    TableUnavailableError,
    TransactionConflictError,
    Write,
)

_log = structlog.get_logger("modelkeep.ledger")

T = TypeVar("T")
R = TypeVar("R")

DEADLINE_SECONDS: Final = 8.0
SEND_DEADLINE_FRACTION: Final = 0.6
"""After this part of the time nothing new is sent; what is left outlasts one request that DynamoDB never answers."""

MAX_ATTEMPTS: Final = 8
"""Decisions on one and the same head that come to nothing."""

BACKOFF_BASE_SECONDS: Final = 0.02
BACKOFF_CAP_SECONDS: Final = 1.0

Decide = Callable[[Head | None], Awaitable[Decision[T]]]
OnDuplicate = Callable[[int | None], Awaitable[T]]
FindHead = Callable[[str], Awaitable[Head | None]]
OnChange = Callable[[Change[object]], None]


@dataclass(frozen=True, slots=True)
class _Sending(Generic[T]):
    """One transaction as it is sent, and sent again: it turns `generation` into the next."""

    generation: int
    writes: Sequence[Write]
    token: str
    decision: Decision[T]


class OptimisticTransaction(Generic[T]):
    """One operation on its way into the table."""

    def __init__(
        self,
        table: Table,
        find_head: FindHead,
        model: str,
        operation: Operation,
        decide: Decide[T],
        replay: OnDuplicate[T],
        on_change: OnChange,
    ) -> None:
        self._table = table
        self._events = Events(table)
        self._find_head = find_head
        self._model = model
        self._operation = operation
        self._decide = decide
        self._replay = replay
        self._on_change = on_change
        self._generation = -1
        self._decisions = 0
        self._pauses = 0
        self._met_others = False
        self._last_start = time.monotonic() + SEND_DEADLINE_FRACTION * DEADLINE_SECONDS
        self._sent: _Sending[T] | None = None
        self._in_flight = False

    async def run(self) -> T:
        """Try until it is settled, for 8 seconds at most. What nobody expected leaves it open if anything was sent."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._settle()
        except TimeoutError:
            raise self._given_up() from None
        except RegistryError:
            raise
        except Exception:
            if not self._in_flight:
                raise
            _log.exception("commit_interrupted", model=self._model, request_id=self._operation.request_id)
            raise OutcomeUnknownError(self._model) from None

    async def _settle(self) -> T:
        while True:
            head = await self._patiently(lambda: self._find_head(self._model))
            if self._sent and await self._has_landed(self._sent, head):
                return self._done(self._sent)
            self._notice(head)
            sending: _Sending[T] | None
            if self._sent and self._in_flight:
                sending = self._sent
            elif outcome := await self._remembered():
                return await self._replay(outcome.version)
            elif self._decisions >= MAX_ATTEMPTS or self._is_late():
                raise self._given_up()
            else:
                sending = await self._decided(head)
                if sending and sending.writes and self._is_late():
                    raise self._given_up()
            if sending and await self._send(sending):
                return self._done(sending)

    def _is_late(self) -> bool:
        return time.monotonic() > self._last_start

    def _done(self, sending: _Sending[T]) -> T:
        if isinstance(sending.decision, Change):
            self._on_change(sending.decision)
        return sending.decision.result

    def _notice(self, head: Head | None) -> None:
        """Begin to count anew when others got ahead: a model that many change is no reason to give up early."""
        if _generation(head) != self._generation:
            self._generation, self._decisions, self._pauses = _generation(head), 0, 0

    async def _decided(self, head: Head | None) -> _Sending[T] | None:
        """What the decision comes to.

        A decision to write is held against the head by its own condition. One to write nothing, or to refuse, may rest
        on a head that has moved while the rest was read: then it is none, and `None` is returned.
        """
        self._decisions += 1
        try:
            sending = self._prepare(head, await self._decide(head))
        except TemporaryError:
            raise
        except RegistryError:
            if await self._has_moved(head):
                return None
            raise
        return None if not sending.writes and await self._has_moved(head) else sending

    async def _has_moved(self, head: Head | None) -> bool:
        if _generation(await self._find_head(self._model)) == _generation(head):
            return False
        await self._pause()
        return True

    def _prepare(self, head: Head | None, decision: Decision[T]) -> _Sending[T]:
        writes = (
            change_writes(head, decision, self._operation)
            if isinstance(decision, Change)
            else outcome_writes(head, decision, self._operation)
        )
        token = uuid5(UUID(self._operation.id), f"{_generation(head)}/{self._decisions}")
        return _Sending(_generation(head), writes, str(token), decision)

    async def _send(self, sending: _Sending[T]) -> bool:
        """Whether it took effect for sure."""
        if not sending.writes:
            return True
        sent_before, self._sent, self._in_flight = self._in_flight, sending, True
        try:
            await self._table.transact(sending.writes, request_token=sending.token)
        except CommitStateUnknownError:
            await self._pause()
        except ConditionFailedError:
            self._in_flight = False
            await self._pause()
        except TransactionConflictError:
            self._in_flight = sent_before
            await self._pause()
        except TableUnavailableError:
            self._in_flight = sent_before
            if not sent_before:
                raise
            await self._pause()
        else:
            return True
        return False

    async def _has_landed(self, sent: _Sending[T], head: Head | None) -> bool:
        """Whether the head moved by what was sent. If it moved otherwise, what was sent can never take effect."""
        if sent.generation >= _generation(head):
            return False
        event = await self._patiently(lambda: self._events.find(self._model, sent.generation + 1))
        if event and event.operation_id == self._operation.id:
            return True
        self._in_flight = False
        return False

    async def _remembered(self) -> IdempotencyRecord | None:
        key = self._operation.idempotency
        if key is None:
            return None
        outcome = await find_outcome(self._table, key, self._operation.at)
        if outcome and outcome.request_hash != key.request_hash:
            raise IdempotencyKeyReusedError
        return outcome

    async def _patiently(self, look: Callable[[], Awaitable[R]]) -> R:
        """While something is in flight, a table that cannot be read is asked again until the deadline."""
        while True:
            try:
                return await look()
            except TemporaryError:
                if not self._in_flight:
                    raise
                await self._pause()

    async def _pause(self) -> None:
        self._met_others = True
        self._pauses += 1
        await asyncio.sleep(full_jitter(self._pauses, base=BACKOFF_BASE_SECONDS, cap=BACKOFF_CAP_SECONDS))

    def _given_up(self) -> Exception:
        if self._in_flight:
            return OutcomeUnknownError(self._model)
        if self._met_others:
            return ContentionError(self._model)
        return UnavailableError("Storage took too long to answer. Nothing was changed; try again.")


def _generation(head: Head | None) -> int:
    return head.generation if head else 0
