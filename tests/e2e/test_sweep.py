"""Sweeping: what is due goes, with its bytes; what anything still refers to never does."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelkeep.bootstrap import limits_of
from modelkeep.domain.access.grants import Grant
from modelkeep.domain.artifacts import KEY_PREFIX, object_key
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.keys import event_key, head_key, upload_key, version_key
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import operator_caller
from modelkeep.services.access.tokens import TokenService
from modelkeep.services.maintenance.sweeper import new_caller
from modelkeep.services.models import ModelService
from modelkeep.settings import Settings
from tests.support.api import Api
from tests.support.buckets import bucket_of
from tests.support.programs import Said, operating
from tests.support.stores import store_bytes
from tests.support.upkeep import Storage

pytestmark = pytest.mark.one_backend

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
READER = Grant(rule="", entries=("reader",), models=("*",))
OPERATOR = operator_caller("operator", request_id="test")


@pytest.mark.every_backend
async def test_expired_uploads_go_with_their_parts_and_objects(api: Api, storage: Storage) -> None:
    in_parts, in_one = {"weights.bin": b"part"}, {"model.pt": b"whole", "empty": b""}
    await api.upload(await api.begin("m", in_parts, multipart=True), in_parts)
    await api.upload(await api.begin("m", in_one), in_one)
    assert await storage.sweep(after=23 * HOUR) == []

    said = ["m 2: expired upload", "m 1: expired upload"]
    assert await storage.sweep(after=24 * HOUR, dry_run=True) == said
    assert len(await storage.keys()) == 2
    assert len(await storage.open_multiparts()) == 1
    assert await storage.sweep(after=24 * HOUR) == said

    assert await storage.keys() == set()
    assert await storage.open_multiparts() == set()
    assert (await api.ask("POST", "/m/versions/2/complete", status=404))["code"] == "upload_not_found"
    events = (await api.ask("GET", "/m/events"))["items"]
    assert [event["type"] for event in events[-2:]] == ["upload_expired", "upload_expired"]
    assert events[-1]["actor"] == "sweep"
    assert (await api.begin("m", in_one))["version"] == 3, "numbers are never given twice"
    assert await storage.check() == []


@pytest.mark.every_backend
async def test_due_trash_is_purged_and_its_bytes_are_gone(api: Api, storage: Storage) -> None:
    await api.register("m", {"model.pt": b"one", "config.json": b"{}"})
    await api.register("m", {"model.pt": b"two"})
    await api.ask("DELETE", "/m/versions/1", status=204)
    assert await storage.sweep(after=6 * DAY) == []

    assert await storage.sweep(after=8 * DAY, dry_run=True) == ["m 1: purged, 5 bytes"]
    assert await storage.sweep(after=8 * DAY) == ["m 1: purged, 5 bytes"]

    assert await storage.keys() == {object_key("m", 2, "model.pt")}
    assert (await api.ask("POST", "/m/versions/1/restore", status=404))["code"] == "version_not_found"
    assert await api.fetch("m", "2") == {"model.pt": b"two"}
    assert await storage.check() == []


@pytest.mark.every_backend
async def test_orphaned_bytes_go_when_no_upload_can_still_want_them(api: Api, storage: Storage) -> None:
    files = {"model.pt": b"left behind"}
    await api.upload(await api.begin("m", files), files)
    await api.ask("DELETE", "/m/versions/1/upload", status=204)
    await storage.store.begin(object_key("m", 1, "weights.bin"))
    assert await storage.sweep(after=24 * HOUR) == []

    said = ["models/m/v1/model.pt: orphaned object", "models/m/v1/weights.bin: orphaned parts"]
    assert await storage.sweep(after=26 * HOUR, dry_run=True) == said
    assert await storage.keys() == {object_key("m", 1, "model.pt")}
    assert await storage.sweep(after=26 * HOUR) == said
    assert await storage.keys() | await storage.open_multiparts() == set()
    assert await storage.sweep(after=26 * HOUR) == []


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_orphans_go_with_every_version_and_marker_and_what_is_referred_to_keeps_its_own(
    api: Api, storage: Storage, settings: Settings
) -> None:
    await api.register("m")
    files = {"model.pt": b"left behind"}
    await api.upload(await api.begin("m", files), files)
    await api.ask("DELETE", "/m/versions/2/upload", status=204)
    async with bucket_of(settings) as bucket:
        for number in (1, 2):
            await bucket.hide(object_key("m", number, "model.pt"))
        await bucket.overwrite(object_key("m", 2, "model.pt"), b"again")

        orphan = object_key("m", 2, "model.pt")
        assert await storage.sweep(after=26 * HOUR) == [f"{orphan}: orphaned object"]
        assert [each async for each in storage.store.list_versions(orphan)] == []
        kept = [each async for each in storage.store.list_versions(object_key("m", 1, ""))]
        assert {each.is_marker for each in kept} == {True, False}
    assert await api.fetch("m", "1") == {"model.pt": b"m"}


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_what_is_swept_leaves_no_bytes_behind(api: Api, storage: Storage) -> None:
    """Nothing else would remove older versions and delete markers."""
    files = {"model.pt": b"never completed"}
    await api.upload(await api.begin("m", files), files)
    assert await storage.sweep(after=25 * HOUR) == ["m 1: expired upload"]
    assert [each async for each in storage.store.list_versions(KEY_PREFIX)] == []


async def test_bytes_that_the_registry_never_placed_are_left_alone(api: Api, storage: Storage) -> None:
    await api.register("m")
    strange = {"models/m/v2/model.pt", "models/stranger/v1/model.pt", "models/readme.txt", "models/m/notes/v1/x"}
    for key in strange:
        await store_bytes(api.http, storage.store, key, b"somebody's")
    assert await storage.sweep(after=30 * DAY) == []
    assert await storage.keys() == strange | {object_key("m", 1, "model.pt")}


async def test_an_interrupted_model_deletion_is_finished(api: Api, storage: Storage) -> None:
    for _ in range(32):
        await api.begin("m", {"model.pt": b"x"})
    await api.register("m")
    table = storage.table
    models = ModelService(Ledger(table), Heads(table), Versions(table), storage.store, limits_of(storage.settings))
    assert await models._delete_step("m", new_caller(), begun=False), "one step is not enough for 33"
    assert await storage.check() == []

    said = ["m: finished a deletion that was interrupted"]
    assert await storage.sweep(after=HOUR, dry_run=True) == said
    assert await storage.sweep(after=HOUR) == said
    assert await storage.sweep(after=HOUR) == []
    await api.ask("GET", "/m", status=404)
    assert [upload async for upload in Versions(table).walk_uploads("m")] == []
    assert await storage.check() == []


@pytest.mark.every_backend
async def test_nothing_that_is_referred_to_is_ever_touched(api: Api, storage: Storage) -> None:
    files = {"model.pt": b"bytes", "config.json": b"{}"}
    for _ in range(4):
        await api.register("m", files, reuse=False)
    await api.promote("m", 1)
    await api.promote("m", 2)
    await api.ask("PUT", "/m/aliases/canary", {"version": 3})
    await api.ask("DELETE", "/m/versions/4", status=204)
    await api.upload(await api.begin("m", files, reuse=False), files)
    await api.upload(await api.begin("m", files, multipart=True, reuse=False), files)
    before, parts, items = await storage.keys(), await storage.open_multiparts(), await storage.items()
    assert (len(before), len(parts)) == (10, 2)

    assert await storage.sweep(after=23 * HOUR) == []
    assert (await storage.keys(), await storage.open_multiparts(), await storage.items()) == (before, parts, items)

    assert len(await storage.sweep(after=3650 * DAY)) == 3
    assert await storage.keys() == {object_key("m", number, path) for number in (1, 2, 3) for path in files}
    for ref in ("1", "2", "3", "production", "canary"):
        assert await api.fetch("m", ref) == files
    assert await storage.check() == []


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_bytes_that_another_model_s_version_points_at_outlive_a_purge(api: Api, storage: Storage) -> None:
    """Only a writer of the public recipe can have made such a version."""
    await api.register("owner", {"model.pt": b"shared"})
    path = (await storage.item(version_key("owner", 1)))["s3_path"]
    await storage.put({"model_name": "borrower", "version": 1, "stage": "staging", "s3_path": path})
    assert await api.fetch("borrower", "1") == {"model.pt": b"shared"}
    await api.ask("DELETE", "/owner/versions/1", status=204)

    assert await storage.sweep(after=8 * DAY) == ["owner 1: purged, 6 bytes"]
    assert await api.fetch("borrower", "1") == {"model.pt": b"shared"}


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_an_expired_upload_does_not_take_the_bytes_of_a_version_with_it(api: Api, storage: Storage) -> None:
    """A writer of the public recipe took the number that an upload had reserved."""
    await api.register("m", {"model.pt": b"first"})
    files = {"model.pt": b"second"}
    await api.upload(await api.begin("m", files), files)
    path = storage.store.uri(object_key("m", 2, "model.pt"))
    await storage.put({"model_name": "m", "version": 2, "stage": "staging", "s3_path": path})

    assert await storage.sweep(after=25 * HOUR) == ["m 2: expired upload"]
    assert await api.fetch("m", "2") == files


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_a_purge_touches_no_object_of_another_store(api: Api, storage: Storage) -> None:
    """The same key may be somebody's here."""
    await api.register("m")
    await api.register("m")
    elsewhere = "s3://elsewhere/models/m/v1/model.pt"
    await storage.put({"model_name": "m", "version": 1, "stage": "staging", "s3_path": elsewhere})
    await api.ask("DELETE", "/m/versions/1", status=204)

    before = await storage.keys()
    orphans_are_far_off = storage.settings.model_copy(update={"upload_ttl_seconds": 3650 * 24 * 3600})
    said = await replace(storage, settings=orphans_are_far_off).sweep(after=8 * DAY)
    assert said == ["m 1: purged, 0 bytes"]
    assert await storage.keys() == before


@pytest.mark.every_backend
async def test_the_command_says_each_thing_and_counts(api: Api, storage: Storage, variables: dict[str, str]) -> None:
    await api.begin("m", {"model.pt": b"x"})
    assert (await operating(variables, "sweep")).out == ["0 thing(s) swept"]
    await storage.edit(upload_key("m", 1), expires_at="2026-01-01T00:00:00.000000Z")

    dry = await operating(variables, "sweep", "--dry-run")
    assert (dry.status, dry.out) == (0, ["m 1: expired upload", "1 thing(s) would be swept"])
    real = await operating(variables, "sweep")
    assert (real.status, real.out) == (0, ["m 1: expired upload", "1 thing(s) swept"])
    assert (await operating(variables, "sweep")).out == ["0 thing(s) swept"]


async def test_a_program_reads_what_was_swept_as_json(api: Api, storage: Storage, variables: dict[str, str]) -> None:
    assert documented(await operating(variables, "-o", "json", "sweep")) == {
        "complete": True,
        "count": 0,
        "findings": [],
    }
    await api.begin("m", {"model.pt": b"x"})
    await storage.edit(upload_key("m", 1), expires_at="2026-01-01T00:00:00.000000Z")
    expired = {"code": "expired_upload", "detail": "m 1: expired upload", "model": "m", "version": 1}
    for options in (["--dry-run"], []):
        said = await operating(variables, "-o", "json", "sweep", *options)
        assert documented(said) == {"complete": True, "count": 1, "findings": [expired]}


def documented(said: Said, *, status: int = 0) -> Any:
    """The one document that a command printed."""
    assert said.status == status, said
    return json.loads("\n".join(said.out))


async def test_what_has_expired_goes_and_what_has_not_stays(api: Api, storage: Storage) -> None:
    await api.begin("m", {"model.pt": b"first"}, key="run-1")
    for days in (1, 40):
        await TokenService(Tokens(storage.table)).create("ci", [READER], datetime.now(UTC) + days * DAY, OPERATOR)
    before = (await storage.items()).keys()

    said = ["2 expired idempotency key(s) and token(s)"]
    after = 32 * DAY
    assert await storage.sweep(after=20 * HOUR) == []
    assert (await storage.sweep(after=after, dry_run=True))[-1:] == said
    assert (await storage.items()).keys() == before
    assert (await storage.sweep(after=after))[-1:] == said
    left = {key.partition.partition("#")[0] for key in await storage.items()}
    assert left == {"$head", "$event", "$token"}
    assert len([key for key in await storage.items() if key.partition.startswith("$token#")]) == 1
    assert await storage.check() == []


async def test_a_sweep_leaves_its_numbers_for_prometheus(
    api: Api, storage: Storage, variables: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "registry.prom"
    await api.begin("m", {"model.pt": b"x"})
    await storage.edit(upload_key("m", 1), expires_at="2026-01-01T00:00:00.000000Z")
    assert (await operating(variables, "sweep", "--metrics", str(file))).status == 0
    told = file.read_text().splitlines()
    assert 'modelkeep_sweep_changes{type="upload_expired"} 1.0' in told
    assert 'modelkeep_sweep_changes{type="version_purged"} 0.0' in told
    (ended,) = [line for line in told if line.startswith("modelkeep_sweep_last_success_timestamp_seconds ")]
    assert 0 <= datetime.now(UTC).timestamp() - float(ended.partition(" ")[2]) < 60

    assert (await operating(variables, "sweep", "--metrics", str(file))).status == 0
    assert 'modelkeep_sweep_changes{type="upload_expired"} 0.0' in file.read_text()
    assert [*file.parent.glob("registry.prom*")] == [file]


async def test_numbers_that_cannot_be_written_are_said_and_the_sweep_is_done(
    api: Api, storage: Storage, variables: dict[str, str], tmp_path: Path
) -> None:
    await api.begin("m", {"model.pt": b"x"})
    await storage.edit(upload_key("m", 1), expires_at="2026-01-01T00:00:00.000000Z")
    said = await operating(variables, "sweep", "--metrics", str(tmp_path / "nowhere" / "registry.prom"))
    assert (said.status, said.out) == (1, ["m 1: expired upload"])
    assert len(said.err) == 1
    assert "registry.prom cannot be written: No such file" in said.err[0]
    assert await storage.sweep(after=timedelta()) == []


async def test_a_program_reads_what_was_swept_before_a_failure(
    api: Api, storage: Storage, variables: dict[str, str], tmp_path: Path
) -> None:
    metrics = ("--metrics", str(tmp_path / "nowhere" / "registry.prom"))
    failed = await operating(variables, "-o", "json", "sweep", *metrics)
    assert (failed.status, failed.out) == (1, [])
    await api.begin("m", {"model.pt": b"x"})
    await storage.edit(upload_key("m", 1), expires_at="2026-01-01T00:00:00.000000Z")
    failed = await operating(variables, "-o", "json", "sweep", *metrics)
    document = documented(failed, status=1)
    assert (document["complete"], document["count"]) == (False, 1)
    assert json.loads("\n".join(failed.err))["code"] == "unavailable"


async def test_an_expiry_that_a_stranger_wrote_takes_no_history_and_no_version(api: Api, storage: Storage) -> None:
    await api.register("m")
    for key in (head_key("m"), version_key("m", 1), event_key("m", 1)):
        await storage.edit(key, ttl=1)
    assert await storage.sweep(after=HOUR) == []
    assert len(await storage.check()) == 3
    assert (await api.ask("GET", "/m/versions/1"))["version"] == 1
