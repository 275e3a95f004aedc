"""What a table rejects before it does anything is told as such: never as something that may have happened."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from modelkeep.domain.errors import MetadataTooLargeError, OutcomeUnknownError
from modelkeep.domain.values import Stage
from modelkeep.repositories import optimistic_transaction
from modelkeep.repositories.keys import access_key, head_key, version_key
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.adopter import Adopter
from modelkeep.services.maintenance.findings import (
    Finding,
    MigrationProblem,
    ModelNotMigrated,
    ProductionConflictResolved,
    VersionTooLarge,
)
from modelkeep.services.maintenance.migrator import IncompleteMigrationError, Migrator
from modelkeep.services.maintenance.model_migration import RegistryEndpoint
from modelkeep.storage.attributes import item_size
from modelkeep.storage.aws import dynamodb
from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import (
    MAX_ITEM_BYTES,
    Absent,
    CommitStateUnknownError,
    Put,
    RequestRejectedError,
    Table,
    Write,
    WritesTooLargeError,
)
from tests.support.builders import NOW
from tests.support.faults.storage import FaultyTable
from tests.support.migrations import everything
from tests.support.newer_release import rewrite
from tests.support.registries import Registry, caller

MODEL: Final = "fraud-detector"


class Rejecting(FaultyTable):
    """Fails transactions, one after the other, before they reach the table."""

    def __init__(self, table: Table, *failures: Exception) -> None:
        super().__init__(table)
        self._failures = list(failures)

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        if self._failures:
            raise self._failures.pop(0)
        await super().transact(writes, request_token=request_token)


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path / "data", public_url="http://registry")


async def test_the_service_is_told_that_a_rejected_write_did_not_happen(table: Table, store: FileStore) -> None:
    await Registry(table, store).register(MODEL)
    registry = Registry(Rejecting(table, RequestRejectedError("no such attribute")), store)
    raised: Exception | None = None
    try:
        await registry.promote(MODEL, 1)
    except (RequestRejectedError, OutcomeUnknownError) as error:
        raised = error
    assert isinstance(raised, RequestRejectedError)


def recipe(number: int, size: int, *, stage: str = "staging") -> dict[str, Any]:
    """A version of the public recipe of so many bytes."""
    item = {
        "model_name": MODEL,
        "version": number,
        "stage": stage,
        "s3_path": f"s3://bucket/models/{MODEL}/v{number}/model.pt",
        "metrics": {},
        "created_at": "2025-06-01T10:15:30.000000Z",
        "framework": "pytorch",
        "description": "",
    }
    return {**item, "description": "x" * (size - item_size(item))}


@pytest.mark.parametrize("first", [[], [CommitStateUnknownError("lost")]], ids=["at once", "when it is sent again"])
async def test_a_rejected_write_is_no_unknown_outcome(table: Table, store: FileStore, first: list[Exception]) -> None:
    await Registry(table, store).register(MODEL)
    before = await everything(table)
    for failure in (RequestRejectedError("no such attribute"), WritesTooLargeError("too large")):
        registry = Registry(Rejecting(table, *first, failure), store)
        expected = MetadataTooLargeError if isinstance(failure, WritesTooLargeError) else RequestRejectedError
        with pytest.raises(expected):
            await registry.promote(MODEL, 1)
    assert await everything(table) == before


CHANGES: Final[dict[str, Callable[[Registry], Awaitable[object]]]] = {
    "promote": lambda registry: registry.promote(MODEL, 1),
    "delete": lambda registry: registry.services.versions.delete(MODEL, 1, caller()),
    "delete the model": lambda registry: registry.services.models.delete(MODEL, caller()),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_an_adopted_item_that_would_not_fit_is_refused(table: Table, store: FileStore, change: str) -> None:
    await table.transact([Put(recipe(1, MAX_ITEM_BYTES - 60), Absent())], request_token=str(uuid4()))
    registry = Registry(table, store)
    assert (await registry.services.models.get(MODEL, caller())).latest_version == 1
    before = await everything(table)
    assert before.keys() >= {head_key(MODEL), version_key(MODEL, 1)}
    with pytest.raises(MetadataTooLargeError) as caught:
        await CHANGES[change](registry)
    assert caught.value.size > caught.value.limit == MAX_ITEM_BYTES
    assert await everything(table) == before


MANY: Final = 12


@pytest.fixture
async def large_strays(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of the public recipe that are all production: too many bytes for one transaction.

    An emulator of DynamoDB may take seconds to move them.
    """
    monkeypatch.setattr(optimistic_transaction, "DEADLINE_SECONDS", 60)
    for number in range(1, MANY + 1):
        await rewrite(table, recipe(number, 390_000, stage="production"))


@pytest.mark.one_backend
async def test_large_versions_that_claim_production_are_archived_in_steps(
    table: Table, store: FileStore, large_strays: None
) -> None:
    adopter = Adopter(Ledger(table), Versions(table), TableScan(table), store)
    found = [finding async for finding in adopter.adopt(verify=False)]
    assert isinstance(found[0], ProductionConflictResolved)
    stages = {version.number: version.stage async for version in Versions(table).walk(MODEL)}
    assert stages == dict.fromkeys(range(1, MANY), Stage.ARCHIVED) | {MANY: Stage.PRODUCTION}


@pytest.mark.one_backend
async def test_a_model_of_such_versions_is_served_and_changed(
    table: Table, store: FileStore, large_strays: None
) -> None:
    registry = Registry(table, store)
    await registry.promote(MODEL, 1)
    assert (await registry.production(MODEL)).number == 1


async def test_a_version_that_is_too_large_for_the_destination_is_named_and_left_out(
    table: Table, store: FileStore, tmp_path: Path
) -> None:
    registry = Registry(table, store)
    for _ in range(2):
        await registry.register(MODEL)
    item = dict(await table.get(version_key(MODEL, 1)) or {})
    await rewrite(table, {**item, "description": "x" * (MAX_ITEM_BYTES - item_size(item) - 20)})
    there = await FileStore.open(tmp_path / ("where-paths-are-longer" * 5), public_url="http://registry")
    async with SqliteTable.open(tmp_path / "there.sqlite3") as copy:
        found = await migrate(RegistryEndpoint(table, store), RegistryEndpoint(copy, there))
        (too_large,) = [finding for finding in found if isinstance(finding, VersionTooLarge)]
        assert (too_large.version, too_large.size > too_large.limit) == (1, True)
        assert [version.number async for version in Versions(copy).walk(MODEL)] == [2]
        await registry.promote(MODEL, 1)
        before = await everything(copy)
        found = await migrate(RegistryEndpoint(table, store), RegistryEndpoint(copy, there))
        needed = ModelNotMigrated(MODEL, MigrationProblem.VERSIONS_NEEDED, versions=(1,))
        assert needed in found
        assert await everything(copy) == before


async def migrate(source: RegistryEndpoint, destination: RegistryEndpoint) -> list[Finding]:
    """What is found before it ends, as it must here, with something left out."""
    found: list[Finding] = []
    try:
        async for finding in Migrator(source, destination, dry_run=False).migrate():
            found.append(finding)  # noqa: PERF401 -- what was found before it ended
    except IncompleteMigrationError:
        return found
    raise AssertionError("nothing was left out")


async def test_an_item_of_no_model_that_does_not_fit_is_refused(table: Table) -> None:
    with pytest.raises(MetadataTooLargeError):
        await TrustDocuments(table).replace("x" * MAX_ITEM_BYTES, revision=0, now=NOW)
    assert await table.get(access_key()) is None


async def test_the_engine_itself_refuses_a_size_as_a_size(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(table, DynamoDbTable):
        monkeypatch.setattr(dynamodb, "check_writes", lambda _: None)
    with pytest.raises(WritesTooLargeError):
        await table.transact([Put(recipe(1, MAX_ITEM_BYTES + 5_000), Absent())], request_token=str(uuid4()))
    assert await table.get(version_key(MODEL, 1)) is None
