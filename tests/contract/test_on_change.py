"""The ledger calls `on_change` exactly once for each change that was applied, whatever got lost on the way."""

from collections.abc import Sequence

import pytest

from modelkeep.domain import changes
from modelkeep.domain.changes import Change, Decision, Edit
from modelkeep.domain.errors import ModelNotFoundError, UnavailableError
from modelkeep.domain.events import EventType, Operation
from modelkeep.domain.models import Head
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.ledger import Ledger
from modelkeep.storage.table import Table
from tests.support.builders import MODEL, operation, upload
from tests.support.faults.storage import Fault, FaultyTable

pytestmark = pytest.mark.one_backend


class RecordedChanges:
    """A ledger, and the types of the events of its changes."""

    def __init__(self, table: Table) -> None:
        self.types: list[EventType | str] = []
        self._ledger = Ledger(table, self._record)

    def _record(self, change: Change[object]) -> None:
        self.types += [event.type for event in change.events]

    async def begin(self, operation: Operation) -> Upload:
        async def decide(head: Head | None) -> Decision[Upload]:
            return changes.begin(head, upload(changes.next_version(head)), operation)

        async def replay(number: int | None) -> Upload:
            assert number is not None
            return upload(number)

        return await self._ledger.apply(MODEL, operation, decide, on_duplicate=replay)

    async def describe(self, text: str) -> Head:
        async def decide(head: Head | None) -> Decision[Head]:
            if head is None:
                raise ModelNotFoundError(MODEL)
            return changes.edit_model(head, Edit(description=text), operation())

        async def replay(_: int | None) -> Head:
            raise AssertionError("there is no Idempotency-Key")

        return await self._ledger.apply(MODEL, operation(), decide, on_duplicate=replay)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault.REQUEST_LOST],
        [Fault.REPLY_LOST],
        [Fault.REPLY_LOST, Fault.REPLY_LOST],
        [Fault.LATE],
        [Fault.CONTENDED, Fault.REPLY_LOST],
    ],
    ids=lambda faults: "-".join(fault.name.lower() for fault in faults) or "none",
)
async def test_it_is_called_once_for_a_change(table: Table, faults: Sequence[Fault]) -> None:
    async with FaultyTable(table, writes=faults) as faulty:
        recorded = RecordedChanges(faulty)
        await recorded.begin(operation())
    assert recorded.types == [EventType.UPLOAD_BEGUN]


async def test_it_is_not_called_again_for_a_repeat(table: Table) -> None:
    first, second = RecordedChanges(table), RecordedChanges(table)
    assert (await first.begin(operation(key="run-1"))).number == 1
    assert (await first.begin(operation(key="run-1"))).number == 1
    assert (await second.begin(operation(key="run-1"))).number == 1
    assert (first.types, second.types) == ([EventType.UPLOAD_BEGUN], [])


async def test_it_is_not_called_if_nothing_changes(table: Table) -> None:
    recorded = RecordedChanges(table)
    await recorded.begin(operation())
    await recorded.describe("new")
    await recorded.describe("new")
    assert recorded.types == [EventType.UPLOAD_BEGUN, EventType.MODEL_EDITED]


async def test_it_is_not_called_for_a_failure(table: Table) -> None:
    faulty = FaultyTable(table, writes=[Fault.UNAVAILABLE])
    recorded = RecordedChanges(faulty)
    with pytest.raises(UnavailableError):
        await recorded.begin(operation())
    with pytest.raises(ModelNotFoundError):
        await recorded.describe("of nothing")
    assert recorded.types == []
