"""Two releases on one table: what this one does not understand it keeps, and what it must not write it refuses.

A newer release is played by attributes that no release has, put into every item and into each of the maps in it, by an
event of an unknown type, and by a head of a higher format.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from modelkeep.admin.wording import sentence
from modelkeep.domain.access.grants import Grant
from modelkeep.domain.changes import Edit
from modelkeep.domain.errors import NewerFormatError
from modelkeep.domain.models import FORMAT
from modelkeep.domain.values import Ref, RefKind
from modelkeep.repositories.events import Events
from modelkeep.repositories.keys import (
    access_key,
    head_key,
    token_key,
    trash_key,
    upload_key,
    version_key,
)
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocuments
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.adopter import Adopter
from modelkeep.services.maintenance.migrator import IncompleteMigrationError, Migrator
from modelkeep.services.maintenance.model_migration import RegistryEndpoint
from modelkeep.settings import Settings
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import Item, Table
from tests.support.builders import NOW, credential, token
from tests.support.migrations import everything
from tests.support.newer_release import NEW, THINGS, lost, marked, marks, rewrite, take_part
from tests.support.registries import Registry, caller
from tests.support.upkeep import Storage

MODEL: Final = "fraud-detector"
PRODUCTION, LATEST, SPARE, TRASHED, PENDING, IN_PARTS = 1, 2, 3, 4, 5, 6

Change = Callable[[Registry, Storage], Awaitable[object]]


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    return await FileStore.open(tmp_path / "data", public_url="http://registry")


@pytest.fixture
def storage(table: Table, store: FileStore) -> Storage:
    return Storage(Settings(backend="local", auth="none"), table, store)


@pytest.fixture
async def registry(table: Table, store: FileStore) -> Registry:
    """A model in every state: production, alias, trash, an upload that has arrived and one in parts that has not."""
    registry = Registry(table, store)
    for _ in range(4):
        await registry.register(MODEL)
    await registry.promote(MODEL, LATEST)
    await registry.promote(MODEL, PRODUCTION)
    await registry.services.aliases.point(MODEL, "canary", LATEST, caller(), comment=None)
    await registry.services.versions.delete(MODEL, TRASHED, caller())
    await registry.send(MODEL, await registry.begin(MODEL))
    await registry.begin(MODEL)
    item = dict(await table.get(upload_key(MODEL, IN_PARTS)) or {})
    parts = {"id": "none", "part_size": 2**26, "part_count": 1}
    await rewrite(table, {**item, "artifacts": [{**item["artifacts"][0], "multipart": parts}]})
    return registry


CHANGES: Final[dict[str, Change]] = {
    "promote": lambda registry, _: registry.promote(MODEL, SPARE),
    "roll back": lambda registry, _: registry.services.stages.roll_back(
        MODEL, caller(), expected_production=PRODUCTION
    ),
    "set an alias": lambda registry, _: registry.services.aliases.point(
        MODEL, "champion", LATEST, caller(), comment=None
    ),
    "remove an alias": lambda registry, _: registry.services.aliases.remove(MODEL, "canary", caller()),
    "edit a version": lambda registry, _: registry.services.versions.edit(
        MODEL, LATEST, Edit(description="new", tags={"a": "b"}), caller()
    ),
    "edit the model": lambda registry, _: registry.services.models.edit(MODEL, Edit(description="new"), caller()),
    "delete": lambda registry, _: registry.services.versions.delete(MODEL, SPARE, caller()),
    "restore": lambda registry, _: registry.services.versions.restore(MODEL, TRASHED, caller()),
    "begin": lambda registry, _: registry.begin(MODEL),
    "complete": lambda registry, _: registry.services.uploads.complete(MODEL, PENDING, caller()),
    "abandon": lambda registry, _: registry.services.uploads.abandon(MODEL, IN_PARTS, caller()),
    "sweep": lambda _, storage: storage.sweep(after=timedelta(days=400)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_keeps_what_a_newer_release_wrote(
    table: Table, registry: Registry, storage: Storage, change: str
) -> None:
    await take_part(table)
    before = await everything(table)
    assert {len(set(marks(item))) for item in before.values()} >= {1, 2, 3, 4}
    await CHANGES[change](registry, storage)
    after = await everything(table)
    assert after[head_key(MODEL)]["generation"] > before[head_key(MODEL)]["generation"]
    assert lost(before, after) == []


async def test_a_version_keeps_it_through_the_trash_and_back(table: Table, registry: Registry) -> None:
    await take_part(table)
    before = await table.get(version_key(MODEL, SPARE))
    await registry.services.versions.delete(MODEL, SPARE, caller())
    await registry.services.versions.restore(MODEL, SPARE, caller())
    assert await table.get(version_key(MODEL, SPARE)) == before


async def test_a_deleted_model_keeps_it_until_it_is_revived(table: Table, store: FileStore) -> None:
    registry = Registry(table, store)
    await registry.register(MODEL)
    await take_part(table)
    await registry.services.models.delete(MODEL, caller())
    await registry.begin(MODEL)
    items = await everything(table)
    assert set(marks(items[head_key(MODEL)])) == {()}
    assert set(marks(items[trash_key(MODEL, 1)])) == {(), ("registry",), ("registry", "artifacts", 0)}


async def test_adoption_keeps_it(table: Table, store: FileStore) -> None:
    for number in (1, 2):
        item = {"stage": "production", "s3_path": f"s3://bucket/models/old/v{number}/model.pt"}
        recipe: Item = {"model_name": "old", "version": number, **item, "registry": {"tags": {}}}
        await rewrite(table, marked(recipe))
    adopter = Adopter(Ledger(table), Versions(table), TableScan(table), store)
    assert [finding async for finding in adopter.adopt(verify=False)]
    items = await everything(table)
    assert [set(marks(items[version_key("old", number)])) for number in (1, 2)] == [{(), ("registry",)}] * 2
    assert items[version_key("old", 1)]["stage"] == "archived"


async def test_a_migration_copies_it(table: Table, store: FileStore, registry: Registry, tmp_path: Path) -> None:
    await take_part(table)
    await unknown_event(table)
    there = await FileStore.open(tmp_path / "there", public_url="http://registry")
    async with SqliteTable.open(tmp_path / "there.sqlite3") as copy:
        assert (await migrate(table, store, copy, there))[-2].startswith(f"{MODEL}: ")
        before, after = await everything(table), await everything(copy)
        uploads = {upload_key(MODEL, PENDING), upload_key(MODEL, IN_PARTS)}
        assert after.keys() == before.keys() - uploads
        assert lost(before, after) == []
        assert len(await migrate(table, store, copy, there)) == 4
        assert await everything(copy) == after


async def migrate(table: Table, store: FileStore, copy: Table, there: FileStore) -> list[str]:
    migrator = Migrator(RegistryEndpoint(table, store), RegistryEndpoint(copy, there), dry_run=False)
    found = []
    with suppress(IncompleteMigrationError):
        async for finding in migrator.migrate():
            found.append(sentence(finding))  # noqa: PERF401 -- what was found before it ended
    return found


async def test_a_token_keeps_it_when_it_is_used_and_revoked(table: Table, registry: Registry) -> None:
    tokens = Tokens(table)
    shown = credential()
    await tokens.add(token(shown, expires_at=datetime.now(UTC) + timedelta(days=1)))
    key = token_key(shown.id)
    await rewrite(table, marked(await table.get(key)))
    kept = await tokens.find(shown.id)
    assert kept
    assert await tokens.replace(replace(kept, last_used_at=NOW))
    await registry.services.tokens.revoke(shown.id, caller())
    item = await table.get(key)
    assert item
    assert (item["revoked_at"] is None, item["last_used_at"] is None) == (False, False)
    assert set(marks(item)) == {(), ("grants", 0)}


async def test_what_a_newer_release_wrote_in_a_grant_is_no_grant_of_this_one(table: Table) -> None:
    shown = credential()
    await Tokens(table).add(token(shown))
    await rewrite(table, marked(await table.get(token_key(shown.id))))
    kept = await Tokens(table).find(shown.id)
    assert kept
    assert [grant.actions for grant in kept.grants] == [Grant(rule="", entries=("reader",), models=("*",)).actions]


async def test_trust_rules_keep_it(table: Table) -> None:
    documents = TrustDocuments(table)
    await documents.replace("{}", revision=0, now=NOW)
    await rewrite(table, marked(await table.get(access_key())))
    await documents.replace("other", revision=1, now=NOW)
    item = await table.get(access_key())
    assert item
    assert (item["document"], item[NEW]) == ("other", THINGS)


async def unknown_event(table: Table) -> int:
    """Let a newer release do what this one has no word for; return its generation."""
    head = dict(await table.get(head_key(MODEL)) or {})
    generation = int(head["generation"]) + 1
    operation = "0b1f2b2e-7f5d-4c8e-9a44-5d1c6c7a9f10"
    common = {"operation_id": operation, "actor": "ci", "at": "2026-01-31T12:00:00.000000Z", "request_id": "r"}
    event = {"model_name": f"$event#{MODEL}", "version": generation, "type": "approval_given", **common}
    await rewrite(table, marked(event), {**head, "generation": generation, "operation_id": operation})
    return generation


async def test_an_event_of_an_unknown_type_passes_through(table: Table, registry: Registry, storage: Storage) -> None:
    generation = await unknown_event(table)
    page = await registry.services.events.list(MODEL, caller(), after=generation - 1, cursor=None, limit=10)
    assert [event.type for event in page.items] == ["approval_given"]
    await rewrite(table, _without_parts(await table.get(upload_key(MODEL, IN_PARTS))))
    assert await storage.check() == []
    await registry.promote(MODEL, SPARE)
    assert [event.type async for event in Events(table).walk(MODEL, after=generation - 1)] == [
        "approval_given",
        "stage_changed",
    ]


def _without_parts(item: Item | None) -> Item:
    assert item
    (artifact,) = item["artifacts"]
    return {**item, "artifacts": [{name: artifact[name] for name in artifact if name != "multipart"}]}


async def newer_format(table: Table) -> None:
    item = await table.get(head_key(MODEL))
    await rewrite(table, {**(item or {}), "format": FORMAT + 1})


@pytest.mark.parametrize("change", [*CHANGES, "delete the model"])
async def test_a_model_in_a_newer_format_is_not_written(
    table: Table, registry: Registry, storage: Storage, change: str
) -> None:
    await newer_format(table)
    before, keys = await everything(table), await storage.keys()
    others: dict[str, Change] = {"delete the model": lambda to, _: to.services.models.delete(MODEL, caller())}
    with pytest.raises(NewerFormatError) as caught:
        await (CHANGES | others)[change](registry, storage)
    assert (caught.value.model, caught.value.format, caught.value.supported) == (MODEL, FORMAT + 1, FORMAT)
    assert (await everything(table), await storage.keys()) == (before, keys)


async def test_a_model_in_a_newer_format_is_read(table: Table, registry: Registry, storage: Storage) -> None:
    await newer_format(table)
    assert (await registry.production(MODEL)).number == PRODUCTION
    located = await registry.services.downloads.locate(MODEL, Ref(RefKind.LATEST, "latest"), caller())
    assert located.version.number == SPARE
    assert (await registry.services.models.get(MODEL, caller())).format == FORMAT + 1
    page = await registry.services.events.list(MODEL, caller(), after=0, cursor=None, limit=100)
    assert len(page.items) == (await registry.services.models.get(MODEL, caller())).generation
    assert await storage.check() == [
        f"{MODEL}: stored in format 2, of which this release knows 1; run `check` of a newer release"
    ]


async def test_what_was_done_before_the_format_changed_is_told_again(table: Table, registry: Registry) -> None:
    await registry.promote(MODEL, SPARE, key="same")
    await newer_format(table)
    assert (await registry.promote(MODEL, SPARE, key="same")).number == SPARE


@pytest.mark.parametrize("newer", ["source", "destination"])
async def test_a_model_in_a_newer_format_is_not_migrated(
    table: Table, store: FileStore, registry: Registry, tmp_path: Path, newer: str
) -> None:
    there = await FileStore.open(tmp_path / "there", public_url="http://registry")
    async with SqliteTable.open(tmp_path / "there.sqlite3") as copy:
        if newer == "destination":
            await migrate(table, store, copy, there)
            await registry.promote(MODEL, SPARE)
        await newer_format(table if newer == "source" else copy)
        before = await everything(copy)
        assert any("a newer release wrote it" in line for line in await migrate(table, store, copy, there))
        assert await everything(copy) == before


async def test_a_head_without_a_format_is_of_the_first(table: Table, registry: Registry) -> None:
    item = dict(await table.get(head_key(MODEL)) or {})
    del item["format"]
    await rewrite(table, item)
    await registry.promote(MODEL, SPARE)
    written = await table.get(head_key(MODEL))
    assert written
    assert written["format"] == FORMAT == 1
