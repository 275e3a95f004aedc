"""Tells of every call of a driver how it went, for whoever counts or draws it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Final, Literal, NamedTuple, cast

from modelkeep.domain.errors import RegistryError, UnavailableError
from modelkeep.storage.objects import ObjectStore, ObjectStoreError
from modelkeep.storage.table import CommitStateUnknownError, Table, TableError, TransactionConflictError

Result = Literal["ok", "refused", "contended", "outcome_unknown", "unavailable", "cancelled", "error"]

_RESULTS: Final[Sequence[tuple[type[BaseException] | tuple[type[BaseException], ...], Result]]] = (
    (UnavailableError, "unavailable"),
    (TransactionConflictError, "contended"),
    (CommitStateUnknownError, "outcome_unknown"),
    ((TableError, ObjectStoreError, RegistryError), "refused"),
    (asyncio.CancelledError, "cancelled"),
    (BaseException, "error"),
)
"""What an exception means: the first line that fits. A caller that waits no longer cancels."""


class OperationTiming(NamedTuple):
    """One call that has ended: of which backend, what it was asked, how it went, how long it took."""

    backend: Literal["table", "store"]
    operation: str
    result: Result
    seconds: float


OnCall = Callable[[OperationTiming], None]


def instrument_table(table: Table, note: OnCall) -> Table:
    """The same table, of whose calls `note` is told."""
    return cast("Table", InstrumentedDriver(table, "table", _operations(Table), note))


def instrument_store(store: ObjectStore, note: OnCall) -> ObjectStore:
    """The same store, of whose calls `note` is told. Signing a URL and walking through everything are no calls."""
    operations = [name for name in _operations(ObjectStore) if not name.startswith("presign_")]
    return cast("ObjectStore", InstrumentedDriver(store, "store", operations, note))


class InstrumentedDriver:
    """Stands before a driver, and takes part in those of its operations that are watched."""

    def __init__(
        self, driver: Any, backend: Literal["table", "store"], operations: Sequence[str], note: OnCall
    ) -> None:
        self._driver = driver
        self._backend = backend
        self._note = note
        for operation in operations:
            setattr(self, operation, self._instrumented(operation))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def _instrumented(self, operation: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            result: Result = "ok"
            try:
                return await getattr(self._driver, operation)(*arguments, **options)
            except BaseException as error:
                result = next(meaning for kind, meaning in _RESULTS if isinstance(error, kind))
                raise
            finally:
                self._note(OperationTiming(self._backend, operation, result, time.perf_counter() - began))

        return call


def _operations(seam: type) -> list[str]:
    return [name for name, member in vars(seam).items() if iscoroutinefunction(member)]
