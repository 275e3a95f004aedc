"""Opens two registries side by side, to move one into the other."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import typer

from modelkeep.admin.settings import read_settings
from modelkeep.bootstrap import open_storage
from modelkeep.domain.errors import UnavailableError
from modelkeep.services.maintenance.migrator import Migrator
from modelkeep.services.maintenance.model_migration import RegistryEndpoint
from modelkeep.settings import Settings

_LOCAL: Final = "local:"


def settings_of(place: str) -> Settings:
    """What `aws` or `local:DIR` stands for, with the environment's word on the rest. Ends the program with status 2."""
    if place == "aws":
        return read_settings(backend="aws")
    if place.startswith(_LOCAL) and place != _LOCAL:
        return read_settings(backend="local", data_dir=Path(place.removeprefix(_LOCAL)))
    raise typer.BadParameter(f"'{place}' is neither aws nor local:DIR.")


async def migrate(source: Settings, destination: Settings, *, dry_run: bool) -> AsyncGenerator[str, None]:
    """Copy the source into the destination, and say what became of each model.

    Raises `UnavailableError` for a source that is not there, a destination that is not ready, and one place on both
    sides; `IncompleteMigrationError` at the end if something had to stay behind.
    """
    _check(source, destination, dry_run=dry_run)
    async with open_storage(source) as here, open_storage(destination) as there:
        async for sentence in Migrator(RegistryEndpoint(*here), RegistryEndpoint(*there), dry_run=dry_run).migrate():
            yield sentence


def _check(source: Settings, destination: Settings, *, dry_run: bool) -> None:
    if _place(source) == _place(destination):
        raise UnavailableError("Source and destination are the same. Name two places.")
    if _is_missing(source):
        raise UnavailableError(f"There is no registry in '{source.data_dir}'. Name a folder that holds one.")
    if dry_run and _is_missing(destination):
        raise UnavailableError(f"There is no registry in '{destination.data_dir}' yet: all would be copied.")


def _is_missing(settings: Settings) -> bool:
    return settings.backend == "local" and not (settings.data_dir / "registry.db").exists()


def _place(settings: Settings) -> Path | None:
    return settings.data_dir.resolve() if settings.backend == "local" else None
