"""Opens two registries side by side, to copy one into the other."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import typer

from modelkeep.admin.maintenance import is_missing
from modelkeep.admin.settings import read_settings
from modelkeep.bootstrap import open_storage, ownership_of
from modelkeep.domain.errors import UnavailableError
from modelkeep.services.maintenance.findings import Finding
from modelkeep.services.maintenance.migrator import Migrator
from modelkeep.services.maintenance.model_migration import RegistryEndpoint
from modelkeep.settings import Settings

_LOCAL: Final = "local:"


def settings_of(endpoint: str) -> Settings:
    """The settings for `aws` or `local:DIR`; the environment has the rest. Raises `BadParameter` and `ValueError`."""
    if endpoint == "aws":
        return read_settings(backend="aws")
    if endpoint.startswith(_LOCAL) and endpoint != _LOCAL:
        return read_settings(backend="local", data_dir=Path(endpoint.removeprefix(_LOCAL)))
    raise typer.BadParameter(f"'{endpoint}' is neither aws nor local:DIR.")


async def migrate(source: Settings, destination: Settings, *, dry_run: bool) -> AsyncGenerator[Finding, None]:
    """Copy the source into the destination, and yield what became of each model.

    The source is only read, so that its bucket may be another table's: that is how a table from a backup is copied out.

    Raises `BucketOwnedError` and `BucketUnmarkedError` if the destination's bucket is not surely its own;
    `UnavailableError` for a source that does not exist, a destination that is not ready, and for a destination that is
    the source; `IncompleteMigrationError` at the end if something was not copied that should have been.
    """
    _check(source, destination, dry_run=dry_run)
    async with open_storage(source) as here, open_storage(destination) as there:
        await (goal := RegistryEndpoint(*there)).reach()
        await ownership_of(*there, destination).require()
        migrator = Migrator(RegistryEndpoint(*here), goal, dry_run=dry_run)
        async for finding in migrator.migrate():
            yield finding


def _check(source: Settings, destination: Settings, *, dry_run: bool) -> None:
    if _folder(source) == _folder(destination):
        raise UnavailableError("Source and destination are the same. Name two places.")
    if is_missing(source):
        raise UnavailableError(f"There is no registry in '{source.data_dir}'. Name a folder that holds one.")
    if dry_run and is_missing(destination):
        raise UnavailableError(f"There is no registry in '{destination.data_dir}' yet: all would be copied.")


def _folder(settings: Settings) -> Path | None:
    return settings.data_dir.resolve() if settings.backend == "local" else None
