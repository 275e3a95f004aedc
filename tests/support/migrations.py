"""A registry with everything in it that moves or cannot, what a caller is told of it, and moves that are cut short."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from modelkeep.admin.wording import sentence
from modelkeep.bootstrap import open_storage
from modelkeep.repositories.keys import owner_key
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.migrator import Migrator
from modelkeep.services.maintenance.model_migration import RegistryEndpoint
from modelkeep.settings import Settings
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Item, ItemKey, Table
from tests.support.api import BASE, Api
from tests.support.programs import Said, operating

MODEL, SMALL, GONE, BEGUN, EMPTY = "fraud-detector", "churn", "retired", "begun", "to-come"
VERSIONS, PROMOTIONS = 30, 125
"""More than a page of versions, and some pages of events."""

FEW = 8
"""Versions enough for every kind of state."""


def local_settings(folder: Path) -> Settings:
    """A registry in a folder, whatever the environment says."""
    return Settings(backend="local", auth="none", data_dir=folder, public_url=BASE)


def files_of(number: int) -> dict[str, bytes]:
    """The files of a version; every third has two."""
    files = {"model.pt": f"weights {number}".encode() * 50}
    return files | ({"config/config.json": f"{number}".encode()} if number % 3 == 0 else {})


async def fill(api: Api, *, versions: int, promotions: int) -> None:
    """Every kind of state that a model can be in. Of the last five versions two are in the trash; none was production.

    The number after the last is an open upload.
    """
    promoted = versions - 5
    for number in range(1, versions + 1):
        fields: dict[str, Any] = {"metrics": {"f1": 0.1 * number}, "tags": {"run": str(number)}, "description": "x"}
        await api.register(MODEL, files_of(number), multipart=number == 7, **fields)
    for step in range(promotions):
        await api.promote(MODEL, 1 + step % promoted, comment=f"step {step}")
        await api.ask("PUT", f"/{MODEL}/aliases/canary", {"version": 1 + (step + 3) % promoted})
    await api.ask("POST", f"/{MODEL}/rollback", {"expected_production": promoted})
    await api.ask("PATCH", f"/{MODEL}/versions/4", {"metrics": {"f1": None, "auc": 0.75}, "tags": {"run": "other"}})
    await api.ask("PATCH", f"/{MODEL}", {"description": "finds fraud", "tags": {"team": "risk"}})
    for number in (versions - 2, versions):
        await api.ask("DELETE", f"/{MODEL}/versions/{number}", status=204)
    await api.upload(await api.begin(MODEL, files_of(versions + 1)), files_of(versions + 1))
    for _ in range(3):
        await api.register(SMALL)
    await api.promote(SMALL, 2)
    await api.register(GONE)
    await api.ask("DELETE", f"/{GONE}", status=204)
    await api.begin(BEGUN, {"model.pt": b"never sent"})
    await api.ask("PUT", f"/{EMPTY}", {"description": "to come", "tags": {"team": "risk"}}, status=201)


async def told(api: Api, model: str) -> Any:
    """All that a caller is told of a model, but where its bytes lie."""
    versions = {version["version"]: version async for version in api.walk(f"/{model}/versions")}
    for version in versions.values():
        version.pop("s3_path")
    return {
        "model": await api.model(model),
        "versions": versions,
        "events": await api.events(model),
        "files": {number: await api.fetch(model, str(number)) for number in versions},
        "refs": {ref: (await api.download(model, ref))["version"] for ref in await _refs(api, model)},
    }


async def _refs(api: Api, model: str) -> list[str]:
    head = await api.model(model)
    production = ["production"] if head["production_version"] else []
    return [*head["aliases"], *production, *(["latest"] if head["latest_version"] else [])]


async def names(api: Api) -> list[str]:
    return [model["model"] async for model in api.walk("")]


async def trash_of(table: Table, model: str) -> list[Any]:
    """The deleted versions, but for where their bytes lie."""
    return [
        replace(
            trashed,
            version=replace(
                trashed.version,
                s3_path="",
                artifacts=tuple(replace(artifact, version_id=None) for artifact in trashed.version.artifacts),
            ),
        )
        async for trashed in Versions(table).walk_trash(model)
    ]


async def everything(table: Table) -> dict[ItemKey, Item]:
    """Every item of a table, but the id that it shares with its bucket."""
    found: dict[ItemKey, Item] = {}
    after, more = None, True
    while more:
        page = await table.scan(after=after, limit=500)
        for item in page.items:
            after = ItemKey(item["model_name"], int(item["version"]))
            found[after] = item
        more = page.more
    found.pop(owner_key(), None)
    return found


async def moving(variables: dict[str, str], source: str | Path, destination: str | Path, *options: str) -> Said:
    """Run `migrate`; a path is a local folder."""
    places = [f"local:{place}" if isinstance(place, Path) else place for place in (source, destination)]
    return await operating(variables, "migrate", "--from", places[0], "--to", places[1], *options)


@dataclass(frozen=True)
class Pair:
    """Two registries that are open, for moves in this process."""

    source: tuple[Table, ObjectStore]
    destination: tuple[Table, ObjectStore]

    async def move(self) -> list[str]:
        migrator = Migrator(RegistryEndpoint(*self.source), RegistryEndpoint(*self.destination), dry_run=False)
        return [sentence(finding) async for finding in migrator.migrate()]


@asynccontextmanager
async def opened(source: Settings, destination: Settings) -> AsyncIterator[Pair]:
    async with open_storage(source) as here, open_storage(destination) as there:
        yield Pair(here, there)


class KilledError(BaseException):
    """The process ended here."""


@contextmanager
def killed_at(write: int, table: Table, store: ObjectStore, *, reached: bool) -> Iterator[Sequence[str]]:
    """End the process at the n-th write to a registry, before or after that write has `reached` it.

    Yields the names of the writes that came from above. Nothing gets through after the end.
    """
    met: list[str] = []

    def counting(name: str, call: Any) -> Any:
        async def counted(*arguments: Any, **options: Any) -> Any:
            met.append(name)
            number = len(met)
            if number > write:
                await asyncio.Event().wait()
            if number == write and not reached:
                raise KilledError
            answer = await call(*arguments, **options)
            if number == write:
                raise KilledError
            return answer

        return counted

    with (
        mock.patch.object(table, "transact", counting("transact", table.transact)),
        mock.patch.object(store, "put", counting("put", store.put)),
    ):
        yield met


async def kill_somewhen(process: asyncio.subprocess.Process, *, within: tuple[float, float]) -> bool:
    """Send SIGKILL at a random instant; tell whether the process was still at work."""
    try:
        async with asyncio.timeout(random.uniform(*within)):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    return False
