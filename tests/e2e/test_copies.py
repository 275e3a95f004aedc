"""Versions made of another version's objects: no byte moves, and the bytes are there as long as one of them is."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.models import TrashedVersion
from modelkeep.repositories.keys import version_key
from modelkeep.repositories.versions import Versions
from modelkeep.services.maintenance.sweeper import Sweeper
from modelkeep.services.uploading.allocation import free_number
from tests.support.api import Api, serving
from tests.support.backends import prepare
from tests.support.migrations import local_settings, opened
from tests.support.upkeep import Storage, looking_into

DAY = timedelta(days=1)
FILES = {"config.json": b"{}", "weights/model.pt": b"one"}
SAID = {
    "framework": "onnx",
    "metrics": {"f1": 0.9, "auc": 0.8},
    "description": "the first",
    "tags": {"git_commit": "1f3e", "team": "risk"},
    "run_id": "8841",
    "empty_folders": ["assets"],
}
CARRIED = ("framework", "framework_inferred", "metrics", "description", "tags", "run_id", "empty_folders", "size")


async def copy(api: Api, model: str, number: int, to: str, *, key: str | None = None, **given: Any) -> Any:
    """Copy; what is answered is an upload of which all has arrived."""
    headers = {"idempotency-key": key} if key else None
    body = {"from": {"model": model, "version": number}, **given}
    answer = await api.ask("POST", f"/{to}/versions", body, status=201, headers=headers)
    assert (answer["model"], answer["expires_at"]) == (to, None)
    assert {artifact["state"] for artifact in answer["artifacts"]} == {"arrived"}
    return await api.ask("GET", f"/{to}/versions/{answer['version']}")


@pytest.mark.parametrize("multipart", [False, True])
@pytest.mark.parametrize("to", ["m", "other"])
async def test_a_copy_has_files_and_metadata_of_its_source_and_nothing_is_stored(
    api: Api, storage: Storage, multipart: bool, to: str
) -> None:
    await api.register("m", FILES, multipart=multipart, source="s3://runs/8841", **SAID)
    await api.promote("m", 1)
    source, keys = await api.ask("GET", "/m/versions/1"), await storage.keys()
    made = await copy(api, "m", 1, to)
    assert {field: made[field] for field in CARRIED} == {field: source[field] for field in CARRIED}
    assert made["artifacts"] == source["artifacts"]
    assert (made["source"], made["stage"], made["aliases"]) == ("models:/m/1", "staging", [])
    assert made["commit"] != source["commit"]
    assert made["created_at"] == made["stage_changed_at"] > source["created_at"]
    assert await api.fetch(to, str(made["version"])) == FILES
    assert await storage.keys() == keys
    assert await storage.check() == []
    event = (await api.events(to))[-1]
    assert (event["type"], event["version"], event["from"], event["to"]) == (
        "version_completed",
        made["version"],
        "m@1",
        "staging",
    )
    assert (await api.model(to))["latest_version"] == made["version"]
    assert (await api.complete(to, made["version"]))["commit"] == made["commit"]
    again = await api.begin(to, FILES)
    assert {artifact["reused_from"] for artifact in again["artifacts"]} == {made["version"]}


@pytest.mark.one_backend
async def test_what_is_given_is_in_place_of_what_the_source_has(api: Api) -> None:
    await api.register("m", FILES, **SAID)
    given: Any = {"metrics": {"f1": 0.95}, "tags": {"team": "cards"}, "description": "", "source": "a", "run_id": "7"}
    made = await copy(api, "m", 1, "other", framework="pytorch", **given)
    assert made == made | {
        **given,
        "framework": "pytorch",
        "metrics": {"f1": 0.95, "auc": 0.8},
        "tags": {"git_commit": "1f3e", "team": "cards"},
    }


@pytest.mark.one_backend
async def test_a_copy_under_a_key_is_made_once(api: Api) -> None:
    await api.register("m", FILES)
    first = await copy(api, "m", 1, "other", key="copy-1")
    assert await copy(api, "m", 1, "other", key="copy-1") == first
    assert [version async for version in api.walk("/other/versions")] == [first]
    await api.ask("DELETE", "/other/versions/1", status=204)
    body, once = {"from": {"model": "m", "version": 1}}, {"idempotency-key": "copy-1"}
    await api.problem("POST", "/other/versions", body, headers=once, status=404, code="version_not_found")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("number", "code"), [(2, "version_not_found"), (3, "version_not_found"), (9, "version_not_found")]
)
async def test_only_a_live_version_is_copied(api: Api, number: int, code: str) -> None:
    await api.register("m", FILES)
    await api.register("m", FILES)
    await api.ask("DELETE", "/m/versions/2", status=204)
    await api.begin("m", FILES)
    body = {"from": {"model": "m", "version": number}}
    problem = await api.problem("POST", "/other/versions", body, status=404, code=code)
    assert (problem["model"], problem["ref"]) == ("m", str(number))
    await api.problem("GET", "/other", status=404, code="model_not_found")
    await api.problem(
        "POST", "/m/versions", {"from": {"model": "absent", "version": 1}}, status=404, code="model_not_found"
    )


async def test_a_source_whose_bytes_are_gone_or_were_never_verified_is_not_copied(api: Api, storage: Storage) -> None:
    await api.register("m", FILES)
    await api.register("m", {"model.pt": b"adopted"})
    item = await storage.item(version_key("m", 2))
    await storage.put({name: value for name, value in item.items() if name != "registry"})
    body = {"from": {"model": "m", "version": 2}}
    problem = await api.problem("POST", "/other/versions", body, status=409, code="digest_unknown")
    assert (problem["model"], problem["version"]) == ("m", 2)
    (lost,) = [version async for version in storage.store.list_versions(object_key("m", 1, "config.json"))]
    await storage.store.delete(lost.key, version_id=lost.version_id)
    body = {"from": {"model": "m", "version": 1}}
    problem = await api.problem("POST", "/other/versions", body, status=422, code="reused_object_changed")
    assert (problem["path"], problem["reused_from"]) == ("config.json", 1)
    await api.problem("GET", "/other", status=404, code="model_not_found")


# -- what becomes of the bytes


async def test_a_copy_outlives_its_source_and_the_model_of_it(api: Api, storage: Storage) -> None:
    await api.register("m", FILES)
    await copy(api, "m", 1, "other")
    await copy(api, "other", 1, "third")
    await api.ask("DELETE", "/m", status=204)
    assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]
    await api.ask("DELETE", "/other", status=204)
    assert await storage.sweep(after=80 * DAY) == ["other 1: purged, 5 bytes"]
    assert await api.fetch("third", "1") == FILES
    assert await storage.check() == []
    await api.register("m", {"model.pt": b"another"})
    assert await api.fetch("third", "1") == FILES
    await api.ask("DELETE", "/third", status=204)
    assert await storage.sweep(after=8 * DAY) == ["third 1: purged, 5 bytes"]
    assert await storage.keys() == {object_key("m", 2, "model.pt")}
    assert await storage.check() == []


async def test_a_source_that_is_deleted_before_the_copy_is_written_is_not_copied(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was live when the copy was decided on; what is in the trash is purged without regard to who reads it."""
    await api.register("m", FILES)
    turns = iter([True])

    async def delete_meanwhile(*arguments: Any) -> int:
        if next(turns, False):
            await api.ask("DELETE", "/m/versions/1", status=204)
        return await free_number(*arguments)

    monkeypatch.setattr("modelkeep.services.uploading.copying.free_number", delete_meanwhile)
    body = {"from": {"model": "m", "version": 1}}
    await api.problem("POST", "/other/versions", body, status=404, code="version_not_found")
    await api.problem("GET", "/other", status=404, code="model_not_found")


@pytest.mark.one_backend
async def test_a_model_that_is_made_while_a_sweep_runs_keeps_what_it_copied(
    api: Api, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has listed the models already; the source is purged by it."""
    await api.register("m", FILES)
    sweep_model = Sweeper._sweep_model

    async def copy_meanwhile(sweeper: Sweeper, model: str, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        await copy(api, "m", 1, "other")
        await api.ask("DELETE", "/m/versions/1", status=204)
        async for finding in sweep_model(sweeper, model, *arguments, **options):
            yield finding

    monkeypatch.setattr(Sweeper, "_sweep_model", copy_meanwhile)
    assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]
    assert await api.fetch("other", "1") == FILES
    assert await storage.check() == []


@pytest.mark.one_backend
async def test_while_any_model_changes_all_the_time_no_object_is_removed(
    api: Api, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take up a copy of any object at any moment."""
    await api.register("m", FILES)
    await api.register("busy", {"model.pt": b"busy"})
    await api.ask("DELETE", "/m", status=204)
    walk_trash, steps = Versions.walk_trash, iter(range(100))

    async def change_meanwhile(versions: Versions, model: str) -> AsyncIterator[TrashedVersion]:
        async for trashed in walk_trash(versions, model):
            yield trashed
        if model == "busy":
            await api.ask("PATCH", "/busy", {"description": str(next(steps))})

    with monkeypatch.context() as patched:
        patched.setattr(Versions, "walk_trash", change_meanwhile)
        assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]
        assert len(await storage.keys()) == 3
    await storage.sweep(after=8 * DAY)
    assert await storage.keys() == {object_key("busy", 1, "model.pt")}


async def test_a_copy_moves_to_another_registry_without_its_source(tmp_path: Path) -> None:
    here, there = local_settings(tmp_path / "here"), local_settings(tmp_path / "there")
    async with serving(here) as api:
        await api.register("m", FILES)
        await copy(api, "m", 1, "other")
        await api.ask("DELETE", "/m", status=204)
    async with looking_into(here) as storage:
        await storage.sweep(after=8 * DAY)
    await prepare(there)
    async with opened(here, there) as pair:
        moved = await pair.move()
    assert moved[-1] == "2 of 2 model(s) moved, 2 objects copied (5 B)"
    async with serving(there) as api, looking_into(there) as storage:
        assert await api.fetch("other", "1") == FILES
        assert await storage.sweep(after=80 * DAY) == []
        assert await api.fetch("other", "1") == FILES
        assert await storage.check() == []


@pytest.mark.one_backend
@pytest.mark.timeout(3600)
async def test_whatever_is_copied_deleted_restored_and_swept_no_bytes_are_lost(
    api: Api, storage: Storage, thorough: bool
) -> None:
    for seed in range(200 if thorough else 3):
        await Walk(api, storage, seed).take(40)


class Walk:
    """Three models that copy from each other, and what must be there of them."""

    def __init__(self, api: Api, storage: Storage, seed: int) -> None:
        self._api = api
        self._storage = storage
        self._chance = random.Random(seed)
        self._models = [f"{name}{seed}" for name in ("a", "b", "c")]
        self._live: dict[tuple[str, int], dict[str, bytes]] = {}
        self._trash: dict[tuple[str, int], dict[str, bytes]] = {}

    async def take(self, count: int) -> None:
        steps = [self._register, self._copy, self._copy, self._copy, self._delete, self._delete, self._restore]
        for step in self._chance.choices([*steps, self._sweep], k=count):
            await step()
        await self._sweep()

    async def _register(self) -> None:
        model = self._chance.choice(self._models)
        files = {path: self._chance.choice([b"1", b"22"]) for path in "ab"[: self._chance.randint(1, 2)]}
        self._live[model, await self._api.register(model, files)] = files

    async def _copy(self) -> None:
        if self._live:
            (source, number), to = self._chance.choice(sorted(self._live)), self._chance.choice(self._models)
            made = await copy(self._api, source, number, to)
            self._live[to, made["version"]] = self._live[source, number]

    async def _delete(self) -> None:
        if self._live:
            model, number = self._chance.choice(sorted(self._live))
            await self._api.ask("DELETE", f"/{model}/versions/{number}", status=204)
            self._trash[model, number] = self._live.pop((model, number))

    async def _restore(self) -> None:
        if self._trash:
            model, number = self._chance.choice(sorted(self._trash))
            await self._api.ask("POST", f"/{model}/versions/{number}/restore")
            self._live[model, number] = self._trash.pop((model, number))

    async def _sweep(self) -> None:
        await self._storage.sweep(after=8 * DAY)
        self._trash = {}
        for (model, number), files in self._live.items():
            assert await self._api.fetch(model, str(number)) == files
        assert await self._storage.check() == []
