"""Sweep, check and adopt, over the storage that the settings name."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from modelkeep.bootstrap import limits_of, open_storage
from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.adopter import Adopter
from modelkeep.services.maintenance.checker import ConsistencyChecker
from modelkeep.services.maintenance.sweeper import ORPHAN_GRACE, Sweeper
from modelkeep.settings import Settings
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Table
from modelkeep.telemetry.metrics import SweepMetrics


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[tuple[Table, ObjectStore], None]:
    """Open storage that is there already: a folder or a bucket by another name must not look like an empty one."""
    if settings.backend == "local" and not (settings.data_dir / "registry.db").exists():
        raise UnavailableError(f"There is no registry in '{settings.data_dir}'. Set MODELKEEP_DATA_DIR.")
    async with open_storage(settings) as (table, store):
        yield table, store


async def sweep(settings: Settings, *, dry_run: bool, metrics: Path | None = None) -> AsyncGenerator[str, None]:
    """Remove what is due, and say each thing. A sweep that comes to its end leaves its numbers in the file `metrics`.

    Raises `UnavailableError` also if that file cannot be written.
    """
    counted = SweepMetrics()
    async with _opened(settings) as (table, store):
        ledger = Ledger(table, counted.count_change)
        sweeper = Sweeper(ledger, Heads(table), Versions(table), TableScan(table), store, limits_of(settings))
        async for sentence in sweeper.sweep(datetime.now(UTC), dry_run=dry_run):
            yield sentence
        if isinstance(store, FileStore) and not dry_run:
            left = await store.clear_incoming(older_than=ORPHAN_GRACE)
            if left:
                yield f"{left} file(s) of uploads that were cut short"
    if metrics:
        try:
            counted.write(metrics)
        except OSError as error:
            raise UnavailableError(f"The sweep is done, and {metrics} cannot be written: {error.strerror}") from error


async def check(settings: Settings) -> AsyncGenerator[str, None]:
    """Every fault of the table and the store."""
    async with _opened(settings) as (table, store):
        inspector = ConsistencyChecker(Heads(table), Versions(table), Events(table), TableScan(table), store)
        async for fault in inspector.inspect():
            yield fault


async def adopt(settings: Settings, *, verify: bool) -> AsyncGenerator[str, None]:
    """Take over what the public recipe wrote, and say what was found."""
    async with _opened(settings) as (table, store):
        adopter = Adopter(Ledger(table), Versions(table), TableScan(table), store)
        async for sentence in adopter.adopt(verify=verify):
            yield sentence
