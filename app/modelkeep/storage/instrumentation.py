"""Wraps a driver and reports the timing and result of each call, for metrics and traces."""

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
"""The result of an exception: that of the first entry that matches."""


class OperationTiming(NamedTuple):
    """A finished call: the backend, the name of the method, the result, and how long it took."""

    backend: Literal["table", "store"]
    operation: str
    result: Result
    seconds: float


OnCall = Callable[[OperationTiming], None]


def instrument_table(table: Table, on_call: OnCall) -> Table:
    """The same table; `on_call(timing)` is called after each call."""
    return cast("Table", InstrumentedDriver(table, "table", _operations(Table), on_call))


def instrument_store(store: ObjectStore, on_call: OnCall) -> ObjectStore:
    """The same store; `on_call(timing)` is called after each call, but not for signed URLs, listings and reads."""
    operations = [name for name in _operations(ObjectStore) if not name.startswith("presign_")]
    return cast("ObjectStore", InstrumentedDriver(store, "store", operations, on_call))


class InstrumentedDriver:
    """Delegates to a driver, and times those of its methods that are named in `operations`."""

    def __init__(
        self, driver: Any, backend: Literal["table", "store"], operations: Sequence[str], on_call: OnCall
    ) -> None:
        self._driver = driver
        self._backend = backend
        self._on_call = on_call
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
                self._on_call(OperationTiming(self._backend, operation, result, time.perf_counter() - began))

        return call


def _operations(seam: type) -> list[str]:
    return [name for name, member in vars(seam).items() if iscoroutinefunction(member)]
