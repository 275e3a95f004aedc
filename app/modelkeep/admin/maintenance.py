"""Sweep, check and adopt, over the storage that the settings name."""

import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from modelkeep.admin.storage_check import check_storage
from modelkeep.bootstrap import limits_of, open_storage, ownership_of
from modelkeep.domain.errors import BucketUnmarkedError, UnavailableError
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.adopter import Adopter
from modelkeep.services.maintenance.checker import ConsistencyChecker
from modelkeep.services.maintenance.findings import Finding, InterruptedFiles, UnmarkedBucket
from modelkeep.services.maintenance.sweeper import ORPHAN_GRACE, Sweeper
from modelkeep.settings import Settings
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Table
from modelkeep.telemetry.metrics import SweepMetrics


def is_missing(settings: Settings) -> bool:
    """Whether no registry has ever been in the folder that the settings name."""
    return settings.backend == "local" and not (settings.data_dir / "registry.db").exists()


def exposure_of(settings: Settings) -> str | None:
    """What to say of the data folder, if its mode lets other users of this machine in. Raises `OSError`."""
    if settings.backend != "local":
        return None
    mode = stat.S_IMODE(settings.data_dir.stat().st_mode)
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None
    advice = f"Unless that is intended, run `chmod 700 {settings.data_dir}`."
    return f"Other users of this machine may enter the data folder '{settings.data_dir}' (mode {mode:04o}). {advice}"


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[tuple[Table, ObjectStore], None]:
    """Open storage that exists already: a folder whose name was mistyped must not look like an empty registry."""
    if is_missing(settings):
        raise UnavailableError(f"There is no registry in '{settings.data_dir}'. Set MODELKEEP_DATA_DIR.")
    async with open_storage(settings) as (table, store):
        yield table, store


async def sweep(settings: Settings, *, dry_run: bool, metrics: Path | None = None) -> AsyncGenerator[Finding, None]:
    """Remove what is due, and yield each thing. A sweep that ends without an error writes its numbers to `metrics`.

    Raises what `Sweeper.sweep` raises, and `UnavailableError` if that file cannot be written.
    """
    numbers = SweepMetrics()
    async with _opened(settings) as (table, store):
        ledger = Ledger(table, numbers.count_change)
        ownership = ownership_of(table, store, settings)
        sweeper = Sweeper(
            ledger, Heads(table), Versions(table), TableScan(table), store, limits_of(settings), ownership
        )
        async for finding in sweeper.sweep(datetime.now(UTC), dry_run=dry_run):
            yield finding
        if isinstance(store, FileStore) and not dry_run:
            count = await store.clear_incoming(older_than=ORPHAN_GRACE)
            if count:
                yield InterruptedFiles(count)
    if metrics:
        try:
            numbers.write(metrics)
        except OSError as error:
            raise UnavailableError(f"The sweep is done, and {metrics} cannot be written: {error.strerror}") from error


async def check(settings: Settings) -> AsyncGenerator[Finding, None]:
    """Every fault of the table and the store, and what could not be checked.

    Raises `BucketOwnedError` and `UnavailableError`.
    """
    async with _opened(settings) as (table, store):
        try:
            await ownership_of(table, store, settings).require()
        except BucketUnmarkedError as error:
            yield UnmarkedBucket(error.bucket)
        checker = ConsistencyChecker(Heads(table), Versions(table), Events(table), TableScan(table), store)
        async for fault in checker.check():
            yield fault
    if settings.backend == "aws":
        async for finding in check_storage(settings):
            yield finding


async def adopt(settings: Settings, *, verify: bool) -> AsyncGenerator[Finding, None]:
    """Take over what the public recipe wrote, and yield what was found. Raises `UnavailableError`."""
    async with _opened(settings) as (table, store):
        adopter = Adopter(Ledger(table), Versions(table), TableScan(table), store)
        async for finding in adopter.adopt(verify=verify):
            yield finding
