"""Moving out of one machine and back: all that can be asked stays as it was, whatever interrupts the move."""

import asyncio
import hashlib
import json
import re
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.errors import BodyMismatchError, ObjectExistsError
from modelkeep.repositories import model_snapshots, optimistic_transaction
from modelkeep.repositories.events import Events
from modelkeep.repositories.keys import EVENT, head_key, version_key
from modelkeep.services.maintenance import model_migration
from modelkeep.services.maintenance.migrator import IncompleteMigrationError
from modelkeep.settings import Settings
from modelkeep.storage.aws import s3_writes
from modelkeep.storage.objects import StoreUnavailableError
from modelkeep.storage.table import ItemKey
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, prepare
from tests.support.builders import version
from tests.support.migrations import (
    BEGUN,
    EMPTY,
    FEW,
    GONE,
    MODEL,
    PROMOTIONS,
    SMALL,
    VERSIONS,
    KilledError,
    Pair,
    everything,
    files_of,
    fill,
    kill_somewhen,
    killed_at,
    local_settings,
    moving,
    names,
    opened,
    told,
    trash_of,
)
from tests.support.programs import EXECUTABLE, clean_environment, operate, operating
from tests.support.recipe import Recipe
from tests.support.servers import AwsServer
from tests.support.stores import digest_of, read_all
from tests.support.upkeep import Storage, looking_into

DAY = timedelta(days=1)
WITHOUT_HEAD = re.compile("has no head|was never given out: the next one is 1")
"""What a check says of a model that is not complete at the destination: its head is written last."""
AS_JSON = ("-o", "json", "migrate")


async def filled(folder: Path, *, versions: int, promotions: int) -> Path:
    """A folder with everything in it. Nobody writes to it: tests take copies."""
    async with serving(local_settings(folder)) as api:
        await fill(api, versions=versions, promotions=promotions)
    return folder


@pytest.fixture(scope="module")
async def few_filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return await filled(tmp_path_factory.mktemp("few") / "data", versions=FEW, promotions=6)


@pytest.fixture(scope="module")
async def many_filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return await filled(tmp_path_factory.mktemp("many") / "data", versions=VERSIONS, promotions=PROMOTIONS)


@pytest.fixture
def folder(few_filled: Path, tmp_path: Path) -> Path:
    """A few versions, for one test, at another path than they were written at."""
    return Path(shutil.copytree(few_filled, tmp_path / "data"))


@pytest.fixture
def many(many_filled: Path, tmp_path: Path) -> Path:
    """Pages of versions and events."""
    return Path(shutil.copytree(many_filled, tmp_path / "data"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "another"


@pytest.fixture
def variables(ministack: AwsServer) -> dict[str, str]:
    return aws_environment(ministack)


@pytest.fixture
async def aws(variables: dict[str, str]) -> AsyncIterator[Settings]:
    """An empty registry on AWS; this process has its environment."""
    with environment(variables) as settings:
        await prepare(settings)
        yield settings


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder for a registry that a test fills itself."""
    return tmp_path / "small"


# there and back


async def test_everything_is_as_it_was_there_and_back(
    many: Path, empty: Path, aws: Settings, variables: dict[str, str]
) -> None:
    async with serving(local_settings(many)) as api:
        before = {model: await told(api, model) for model in (MODEL, SMALL, EMPTY)}
        listed = await names(api)
    assert len(before[MODEL]["versions"]) > 25
    assert len(before[MODEL]["events"]) > 300

    said = await moving(variables, many, "aws")
    assert said.status == 0, said
    events = len(before[MODEL]["events"])
    objects = sum(len(files_of(number)) for number in range(1, VERSIONS + 1))
    line = f"{MODEL}: {VERSIONS - 2} versions, 2 in the trash, {objects} objects copied (14.2 KiB), {events} events"
    assert line in said.out
    assert f"{MODEL}: upload {VERSIONS + 1} is open and stays behind; the number stays spent" in said.out
    assert f"{BEGUN}: upload 1 is open and stays behind; the number stays spent" in said.out
    assert said.out[-1] == f"5 of 5 model(s) moved, {objects + 2} objects copied (14.2 KiB)"
    async with serving(aws) as api:
        assert {model: await told(api, model) for model in (MODEL, SMALL, EMPTY)} == before
        assert await names(api) == listed == [BEGUN, SMALL, MODEL, EMPTY]
        await api.problem("GET", f"/{GONE}", status=404, code="model_not_found")
        stored = (await api.ask("GET", f"/{MODEL}/versions/3"))["s3_path"]
        assert stored == f"s3://{aws.bucket}/models/{MODEL}/v3/"
        stored = (await api.ask("GET", f"/{MODEL}/versions/4"))["s3_path"]
        assert stored == f"s3://{aws.bucket}/{object_key(MODEL, 4, 'model.pt')}"
    async with looking_into(aws) as storage:
        assert all([await is_pinned(storage, number) for number in before[MODEL]["versions"]])
    assert (await operating(variables, "check")).out == ["clean"]

    said = await moving(variables, "aws", empty)
    assert said.status == 0, said
    assert line in said.out
    async with serving(local_settings(empty)) as api, looking_into(local_settings(empty)) as storage:
        assert {model: await told(api, model) for model in (MODEL, SMALL, EMPTY)} == before
        assert await names(api) == listed
        assert await storage.check() == []
        (item,) = [item for key, item in (await everything(storage.table)).items() if key == version_key(MODEL, 4)]
        assert item["s3_path"] == storage.store.uri(object_key(MODEL, 4, "model.pt"))
        assert [set(entry) for entry in item["registry"]["artifacts"]] == [{"path", "size", "sha256"}]


async def is_pinned(storage: Storage, number: int) -> bool:
    """Whether the version names the very bytes that the destination's bucket holds."""
    item = await storage.item(version_key(MODEL, number))
    found = await storage.store.stat(object_key(MODEL, number, "model.pt"))
    (pin,) = [entry.get("version_id") for entry in item["registry"]["artifacts"] if entry["path"] == "model.pt"]
    return found is not None and pin is not None and pin == found.version_id


async def test_numbers_of_open_uploads_and_deleted_models_stay_spent(
    folder: Path, aws: Settings, variables: dict[str, str]
) -> None:
    await moving(variables, folder, "aws")
    async with serving(aws) as api:
        for model, spent in ((MODEL, FEW + 1), (BEGUN, 1)):
            await api.problem("POST", f"/{model}/versions/{spent}/complete", status=404, code="upload_not_found")
            assert await api.register(model) == spent + 1
        assert await api.register(GONE) == 2
    assert (await operating(variables, "check")).out == ["clean"]


async def test_the_trash_is_kept_and_can_be_restored(folder: Path, aws: Settings, variables: dict[str, str]) -> None:
    async with looking_into(local_settings(folder)) as storage:
        before = await trash_of(storage.table, MODEL)
    assert len(before) == 2
    await moving(variables, folder, "aws")
    async with serving(aws) as api, looking_into(aws) as storage:
        assert await trash_of(storage.table, MODEL) == before
        await api.ask("POST", f"/{MODEL}/versions/{FEW}/restore")
        assert await api.fetch(MODEL, str(FEW)) == files_of(FEW)
        size = sum(map(len, files_of(FEW - 2).values()))
        assert await storage.sweep(after=6 * DAY, dry_run=True) == []
        said = await storage.sweep(after=8 * DAY)
        assert {f"{MODEL} {FEW - 2}: purged, {size} bytes", f"{GONE} 1: purged, 7 bytes"} == set(said)
        assert await storage.check() == []


async def test_a_dry_run_says_what_would_be_and_writes_nothing(
    folder: Path, aws: Settings, variables: dict[str, str]
) -> None:
    said = await moving(variables, folder, "aws", "--dry-run")
    assert said.status == 0
    assert f"{SMALL}: 3 versions, 1 object to copy (5 B), 7 events" in said.out
    async with looking_into(aws) as storage:
        assert await everything(storage.table) == {}
        assert await storage.keys() == set()
    await moving(variables, folder, "aws")
    said = await moving(variables, folder, "aws", "--dry-run")
    assert f"{SMALL}: 3 versions, 0 objects to copy, 7 events; nothing had changed" in said.out


# again


async def test_a_repeat_changes_nothing(folder: Path, aws: Settings, variables: dict[str, str]) -> None:
    await moving(variables, folder, "aws")
    async with looking_into(aws) as storage:
        before = await everything(storage.table)
        versions = {key: (await storage.store.stat(key)) for key in await storage.keys()}
        said = await moving(variables, folder, "aws")
        assert said.status == 0
        lines = [line for line in said.out if ":" in line and "upload" not in line]
        assert len(lines) == 5
        assert all("0 objects copied" in line and line.endswith("; nothing had changed") for line in lines)
        assert await everything(storage.table) == before
        assert {key: (await storage.store.stat(key)) for key in await storage.keys()} == versions


async def test_what_the_source_did_since_is_brought_forward(
    small: Path, aws: Settings, variables: dict[str, str]
) -> None:
    """Promotion, aliases, edits, the trash, a restoration, a purge, a completed upload, a new model."""
    async with serving(local_settings(small)) as api:
        for number in range(1, 7):
            await api.register("m", files_of(number))
        await api.promote("m", 1)
        await api.ask("PUT", "/m/aliases/canary", {"version": 2})
        for number in (3, 4):
            await api.ask("DELETE", f"/m/versions/{number}", status=204)
        begun = await api.begin("m", files_of(7))
        assert (await moving(variables, small, "aws")).status == 0

        await api.promote("m", 2)
        await api.ask("PUT", "/m/aliases/canary", {"version": 5})
        await api.ask("PATCH", "/m/versions/5", {"description": "edited"})
        await api.ask("POST", "/m/versions/3/restore")
        await api.ask("DELETE", "/m/versions/6", status=204)
        await api.upload(begun, files_of(7))
        await api.complete("m", 7)
        await api.promote("m", 7)
        await api.register("later")
        before = {model: await told(api, model) for model in ("m", "later")}
    said = await moving(variables, small, "aws")
    assert said.status == 0, said
    (line,) = [line for line in said.out if line.startswith("m: ")]
    assert line.startswith("m: 5 versions, 2 in the trash, 1 object copied")
    async with serving(aws) as api, looking_into(aws) as there:
        assert {model: await told(api, model) for model in ("m", "later")} == before
        assert [trashed.version.number for trashed in await trash_of(there.table, "m")] == [6, 4]
        assert await there.check() == []

    async with looking_into(local_settings(small)) as here:
        assert len(await here.sweep(after=8 * DAY)) == 2
    assert (await moving(variables, small, "aws")).status == 0
    async with looking_into(aws) as there:
        assert await trash_of(there.table, "m") == []
        assert await there.check() == []


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
async def test_a_source_at_work_moves_as_it_was_at_one_instant_or_not(
    small: Path, empty: Path, *, always: bool
) -> None:
    """It is written after its head was read and before its versions are."""
    async with serving(local_settings(small)) as source, opened(local_settings(small), local_settings(empty)) as pair:
        for _ in range(2):
            await source.register("m")
        await source.promote("m", 1)
        table, query = pair.source[0], pair.source[0].query
        numbers = iter([2, *([1, 2] * 10 if always else [])])

        async def at_work(partition: str, **options: Any) -> Any:
            if partition == "m" and (number := next(numbers, None)):
                await source.promote("m", number)
            return await query(partition, **options)

        with mock.patch.object(table, "query", at_work):
            if always:
                with pytest.raises(IncompleteMigrationError):
                    await pair.move()
                assert await everything(pair.destination[0]) == {}
                return
            await pair.move()
    async with looking_into(local_settings(empty)) as storage:
        assert await storage.check() == []
        assert (await storage.item(head_key("m")))["production_version"] == 2


async def test_bytes_that_were_lost_at_the_destination_come_again(destination: Settings, small: Path) -> None:
    async with serving(local_settings(small)) as source, serving(destination) as api:
        await source.register("m", files_of(3))
        async with opened(local_settings(small), destination) as pair:
            await pair.move()
            store = pair.destination[1]
            (lost,) = [found async for found in store.list_objects("models/m/v1/model")]
            now = await store.stat(lost.key)
            await store.delete(lost.key, version_id=now.version_id if now else None)
            assert (await pair.move())[0].startswith("m: 1 version, 1 object copied")
        assert await api.fetch("m", "1") == files_of(3)
    async with looking_into(destination) as storage:
        assert await storage.check() == []


async def test_many_changes_of_what_is_there_are_brought_forward(
    small: Path, empty: Path, variables: dict[str, str]
) -> None:
    """More than one transaction holds: 110 versions go to the trash, and a deleted model is emptied."""
    async with serving(local_settings(small)) as api:
        for _ in range(110):
            await api.register("m")
        assert (await moving(variables, small, empty)).status == 0
        await api.ask("DELETE", "/m", status=204)
    assert (await moving(variables, small, empty)).status == 0
    async with looking_into(local_settings(small)) as here, looking_into(local_settings(empty)) as there:
        assert len(await trash_of(there.table, "m")) == 110
        assert await trash_of(there.table, "m") == await trash_of(here.table, "m")
        assert await there.check() == []


# cut short


@pytest.fixture(params=["local", "ministack"])
async def destination(request: pytest.FixtureRequest, empty: Path) -> AsyncIterator[Settings]:
    if request.param == "local":
        yield local_settings(empty)
        return
    with environment(aws_environment(request.getfixturevalue("ministack"))) as settings:
        await prepare(settings)
        yield settings


async def grow(api: Api, step: int) -> None:
    """Change a small registry, so that a next move has something of everything to do."""
    for number in range(1, 4):
        await api.register("m", files_of(3 * step + number))
    await api.promote("m", 3 * step + 1)
    await api.ask("PUT", "/m/aliases/canary", {"version": 3 * step + 2})
    if step:
        await api.ask("DELETE", "/m/versions/3", status=204)
        await api.ask("PATCH", "/m/versions/1", {"description": "edited"})


@pytest.fixture(
    params=[
        pytest.param(2, id="many-transactions"),
        pytest.param(90, id="few-transactions", marks=pytest.mark.thorough),
    ]
)
def writes_in_one(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many writes go into one transaction: as many as fit, or so few that a model takes many.

    Readers of what is half moved are told to try again, and here they are told soon.
    """
    with (
        mock.patch.object(optimistic_transaction, "BACKOFF_CAP_SECONDS", 0.01),
        mock.patch.object(model_snapshots, "_MAX_WRITES", request.param),
        mock.patch.object(model_migration, "MAX_EVENTS", request.param),
    ):
        yield


@pytest.mark.usefixtures("writes_in_one")
@pytest.mark.parametrize("reached", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["before", "after"])
async def test_a_move_that_ends_at_any_write_goes_on_and_nobody_sees_half(
    destination: Settings, small: Path, *, reached: bool
) -> None:
    """At every write of a first move, then at every write of a second one that brings changes."""
    async with serving(local_settings(small)) as source, serving(destination) as reader:
        reader.http.event_hooks = {}
        for step in (0, 1):
            await grow(source, step)
            expected = await told(source, "m")
            before = await told(reader, "m") if step else None
            ends = 0
            async with opened(local_settings(small), destination) as pair:
                while await ended_at(1, pair, reached=reached):
                    ends += 1
                    assert ends < 50
                    await half_is_never_seen(reader, before, expected)
                    if not reached:
                        await ended_at(1, pair, reached=True)
                assert await told(reader, "m") == expected
            assert ends >= 3
    async with looking_into(destination) as storage:
        assert await storage.check() == []


async def ended_at(write: int, pair: Pair, *, reached: bool) -> bool:
    """Move until the n-th write; tell whether there was one."""
    with killed_at(write, *pair.destination, reached=reached) as met, suppress(KilledError):
        await pair.move()
    return len(met) >= write


async def half_is_never_seen(reader: Api, before: Any, expected: Any) -> None:
    """A reader finds the model as it was before, as it will be, or not at all; and makes no head by looking."""
    answer = await reader.http.get("/v1/models/m")
    if before is None and answer.status_code != 200:
        assert answer.status_code in {404, 503}, answer.text
        return
    assert answer.json() in [before and before["model"], expected["model"]]
    refs = (expected if answer.json() == expected["model"] else before)["refs"]
    assert {"production", "canary", "latest"} == set(refs)
    for ref, number in refs.items():
        assert (await reader.download("m", ref))["version"] == number
        assert await reader.fetch("m", ref) == files_of(number)


@pytest.mark.timeout(240)
async def test_a_killed_program_goes_on_where_it_was(
    many: Path, aws: Settings, variables: dict[str, str], tmp_path: Path, *, thorough: bool
) -> None:
    command = [EXECUTABLE, "migrate", "--from", f"local:{many}", "--to", "aws"]
    other = variables | {name: f"{variables[name]}-b" for name in ("MODELKEEP_TABLE", "MODELKEEP_BUCKET")}
    assert (await operating(other, "init")).status == 0
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(*command, env=clean_environment(other))
    assert await process.wait() == 0
    whole = time.monotonic() - started

    kills = 0
    for _ in range(8 if thorough else 4):
        process = await asyncio.create_subprocess_exec(*command, env=clean_environment(variables))
        kills += await kill_somewhen(process, within=(0.3 * whole, whole))
        async with looking_into(aws) as storage:
            unfinished = [fault for fault in await storage.check() if not WITHOUT_HEAD.search(fault)]
            assert unfinished == []
    assert kills >= (3 if thorough else 1)
    assert (await moving(variables, many, "aws")).status == 0
    async with serving(local_settings(many)) as source, serving(aws) as api:
        for model in (MODEL, SMALL):
            assert await told(api, model) == await told(source, model)
    assert (await operating(variables, "check")).out == ["clean"]


# what is damaged


def damage(folder: Path, model: str, number: int, content: bytes | None) -> None:
    """Replace the bytes of a version behind the store's back; `None` removes them."""
    path = folder / "objects" / object_key(model, number, "model.pt")
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"x" * len(files_of(FEW)["model.pt"]), "is damaged: its bytes at the source do not have SHA-256 "),
        (files_of(FEW)["model.pt"] + b"more", "is damaged: its bytes at the source do not have SHA-256 "),
        (b"", "is damaged: its bytes at the source do not have SHA-256 "),
        (None, "has no bytes at the source; the version is not moved"),
    ],
    ids=["other", "longer", "empty", "gone"],
)
async def test_a_damaged_version_is_named_and_left_out_and_all_others_move(
    folder: Path, aws: Settings, variables: dict[str, str], content: bytes | None, fault: str
) -> None:
    damaged = FEW - 3
    damage(folder, MODEL, damaged, content)
    said = await moving(variables, folder, "aws")
    assert said.status == 1
    assert [line for line in said.out if line.startswith(f"{MODEL} {damaged}: 'model.pt' {fault}")], said.out
    assert said.err[0].startswith("1 model(s) were not moved, or not as a whole; they are named above.")
    async with serving(aws) as api, looking_into(aws) as storage:
        await api.problem("GET", f"/{MODEL}/versions/{damaged}", status=404, code="version_not_found")
        assert await storage.store.stat(object_key(MODEL, damaged, "model.pt")) is None
        assert await api.fetch(MODEL, str(damaged - 1)) == files_of(damaged - 1)
        assert await api.fetch(SMALL) == {"model.pt": SMALL.encode()}
        assert await storage.check() == []

        damage(folder, MODEL, damaged, files_of(damaged)["model.pt"])
        said = await moving(variables, folder, "aws")
        assert said.status == 0, said
        assert await api.fetch(MODEL, str(damaged)) == files_of(damaged)
        assert await storage.check() == []


async def test_a_head_never_names_a_version_whose_bytes_did_not_come(
    folder: Path, aws: Settings, variables: dict[str, str]
) -> None:
    latest = FEW - 1
    damage(folder, MODEL, latest, b"damaged")
    said = await moving(variables, folder, "aws")
    assert said.status == 1
    (line,) = [
        line for line in said.out if line.startswith(f"{MODEL}: not moved: its head names version(s) {latest} as")
    ]
    assert "delete them there" in line
    async with serving(aws) as api, looking_into(aws) as storage:
        assert await names(api) == [BEGUN, SMALL, EMPTY]
        assert not [key for key in await everything(storage.table) if MODEL in key.partition]
        assert all(WITHOUT_HEAD.search(fault) for fault in await storage.check())
    async with serving(local_settings(folder)) as api:
        await api.ask("DELETE", f"/{MODEL}/versions/{latest}", status=204)
    said = await moving(variables, folder, "aws")
    assert said.status == 1, "it is in the trash, and may be restored"
    assert (await operating(variables, "check")).out == ["clean"]
    async with serving(aws) as api:
        assert (await api.model(MODEL))["latest_version"] == FEW - 3


async def test_a_program_reads_what_was_moved_as_json(small: Path, empty: Path, variables: dict[str, str]) -> None:
    async with serving(local_settings(small)) as api:
        for _ in range(2):
            await api.register("m", reuse=False)
        await api.register("whole")
    damage(small, "m", 1, b"damaged")
    said = await operating(variables, *AS_JSON, "--from", f"local:{small}", "--to", f"local:{empty}")
    assert said.status == 1
    assert json.loads("\n".join(said.err))["code"] == "incomplete_migration"
    document = json.loads("\n".join(said.out))
    assert (document["complete"], document["count"]) == (False, 4)
    damaged, m, whole, ended = document["findings"]
    assert {name: damaged[name] for name in ("code", "model", "version", "path", "problem")} == {
        "code": "version_not_copied",
        "model": "m",
        "version": 1,
        "path": "model.pt",
        "problem": "damaged_at_source",
    }
    assert (m["code"], m["versions"], m["objects"], m["bytes"], m["changed"]) == ("model_migrated", 1, 1, 1, True)
    assert (whole["code"], whole["model"], whole["dry_run"]) == ("model_migrated", "whole", False)
    assert (ended["code"], ended["models"], ended["migrated"]) == ("migration_ended", 2, 1)


# others at the destination


async def test_a_model_that_others_changed_at_the_destination_is_left_alone(
    folder: Path, aws: Settings, variables: dict[str, str]
) -> None:
    await moving(variables, folder, "aws")
    async with (
        serving(aws) as api,
        looking_into(aws) as storage,
        serving(local_settings(folder)) as source,
    ):
        await api.promote(SMALL, 1)
        before = await everything(storage.table)
        said = await moving(variables, folder, "aws")
        assert said.status == 1
        why = "others have written it at the destination"
        assert f"{SMALL}: not moved: {why}: it is at generation 8, the source at 7" in said.out

        await source.promote(SMALL, 3)
        await source.promote(SMALL, 1)
        said = await moving(variables, folder, "aws")
        assert said.status == 1
        assert f"{SMALL}: not moved: {why}: event 8 there is another than at the source" in said.out
        assert await everything(storage.table) == before


async def test_a_model_of_the_same_name_is_left_alone(small: Path, aws: Settings, variables: dict[str, str]) -> None:
    async with serving(local_settings(small)) as source, serving(aws) as api, looking_into(aws) as storage:
        await source.register("m", {"model.pt": b"the source's"})
        await source.promote("m", 1)
        await source.register("other")
        await api.register("m", {"model.pt": b"theirs"})
        await storage.put({"model_name": "other", "version": 1, "stage": "production", "s3_path": "s3://x/y"})
        before, keys = await everything(storage.table), await storage.keys()
        said = await moving(variables, small, "aws")
        assert said.status == 1
        why = "not moved: others have written it at the destination"
        assert f"m: {why}: event 1 there is another than at the source" in said.out
        assert f"other: {why}: it has versions there, and no history" in said.out
        assert (await everything(storage.table), await storage.keys()) == (before, keys)
        assert await api.fetch("m", "1") == {"model.pt": b"theirs"}


async def test_a_number_that_somebody_took_at_the_destination_is_left_alone(destination: Settings, small: Path) -> None:
    """A writer of the public recipe, who asks nobody, and a source that comes to give the same number."""
    async with serving(local_settings(small)) as source, looking_into(destination) as storage:
        await source.register("m")
        async with opened(local_settings(small), destination) as pair:
            await pair.move()
            theirs = {"model_name": "m", "version": 2, "stage": "production", "s3_path": "s3://x/y"}
            await storage.put(theirs)
            before = await everything(storage.table)
            for _ in range(2):
                with pytest.raises(IncompleteMigrationError):
                    await pair.move()
                assert await everything(storage.table) == before
                await source.register("m")


@pytest.mark.parametrize("step", [0, 1], ids=["first", "second"])
async def test_whoever_writes_during_a_move_is_not_overwritten(destination: Settings, small: Path, step: int) -> None:
    """They come after the destination was looked at and before anything is written."""
    async with serving(local_settings(small)) as source, serving(destination) as theirs:
        await grow(source, 0)
        async with opened(local_settings(small), destination) as pair:
            if step:
                await pair.move()
                await grow(source, 1)
            store, put = pair.destination[1], pair.destination[1].put
            objects = sum(len(files_of(3 * step + number)) for number in range(1, 4))
            landed: list[str] = []

            async def meanwhile(key: str, *arguments: Any, **options: Any) -> None:
                await put(key, *arguments, **options)
                landed.append(key)
                if len(landed) == objects:  # else their number could be one of those that are copied
                    await theirs.begin("m", {"theirs.pt": b"theirs"})

            with mock.patch.object(store, "put", meanwhile), pytest.raises(IncompleteMigrationError):
                await pair.move()
            head = await theirs.model("m")
            assert [event["type"] for event in await theirs.events("m")][-1] == "upload_begun"
            assert head["generation"] == len(await theirs.events("m"))
        async with looking_into(destination) as storage:
            assert await storage.check() == []


async def test_every_transaction_holds_only_while_the_head_is_the_one_that_was_seen(destination: Settings) -> None:
    async with serving(destination) as theirs, looking_into(destination) as storage:
        await theirs.begin("m", {"model.pt": b"x"})
        there = model_snapshots.ModelSnapshots(storage.table)
        seen = await there.read("m")
        (event,) = [event async for event in Events(storage.table).walk("m")]
        assert seen.head is not None
        await theirs.begin("m", {"model.pt": b"x"})
        before = await everything(storage.table)

        kept: dict[ItemKey, model_snapshots.StoredVersion] = {
            version_key("m", n): version(n, model="m") for n in range(5, 8)
        }
        step = model_snapshots.SnapshotDiff(
            present=seen, head=replace(seen.head, generation=9), versions=kept, operation_id="x"
        )
        with pytest.raises(model_snapshots.ConcurrentModificationError):
            await there.add_events([replace(event, generation=9)], seen)
        for most in (1, 90):
            overtaken = pytest.raises(model_snapshots.ConcurrentModificationError)
            with mock.patch.object(model_snapshots, "_MAX_WRITES", most), overtaken:
                await there.apply(step)
        assert await everything(storage.table) == before


async def test_nobody_else_changes_a_model_that_is_half_moved(aws: Settings, small: Path) -> None:
    async with serving(local_settings(small)) as source, serving(aws) as api:
        await grow(source, 0)
        async with opened(local_settings(small), aws) as pair:
            await pair.move()
            await grow(source, 1)
            objects = sum(len(files_of(number)) for number in (4, 5, 6))
            with killed_at(objects + 1, *pair.destination, reached=True) as met, suppress(KilledError):
                await pair.move()
            assert met == ["put"] * objects + ["transact"]
            before = await everything(pair.destination[0])
            body = {"stage": "production"}
            await api.problem("PUT", "/m/versions/2/stage", body, status=503, code="contention")
            assert await everything(pair.destination[0]) == before
            assert await api.fetch("m") == files_of(1)
            await pair.move()
            assert await told(api, "m") == await told(source, "m")
            await api.promote("m", 2)


# what the public recipe wrote


async def test_versions_of_the_public_recipe_move_with_what_others_wrote_into_them(
    ministack: AwsServer, variables: dict[str, str], empty: Path
) -> None:
    recipe = Recipe(ministack, variables["MODELKEEP_TABLE"], variables["MODELKEEP_BUCKET"])
    recipe.create()
    for number in (1, 2, 3):
        recipe.register("fraud", f"fraud {number}".encode(), {"f1": 0.941}, owner="risk", trained_on="2025-01")
    recipe.promote("fraud", 2)
    recipe.register("lost", b"x", {}, s3_path="s3://another-bucket/model.pt")
    recipe.register("not a name!", b"x", {})
    recipe.close()
    said = await moving(variables, "aws", empty)
    assert said.status == 1
    assert "An index of table" in said.err[0] or "fraud: not moved: it has no head at the source" in said.out[0]
    assert (await operating(variables, "init", "--adopt")).status == 0

    with environment(variables) as settings:
        async with serving(settings) as api:
            before = await told(api, "fraud")
        said = await moving(variables, "aws", empty)
    assert said.status == 1
    assert "not a name!: not moved: no model can have this name here; its versions cannot be served" in said.out
    assert "lost 1: is at s3://another-bucket/model.pt, not in the source's store; its bytes stay there" in said.out
    assert "fraud: 3 versions, 3 objects copied (21 B), 1 event" in said.out
    async with serving(local_settings(empty)) as api, looking_into(local_settings(empty)) as storage:
        after = await told(api, "fraud")
        for number in (1, 2, 3):
            (artifact,) = after["versions"][number]["artifacts"]
            assert artifact.pop("sha256") == hashlib.sha256(f"fraud {number}".encode()).hexdigest()
            before["versions"][number]["artifacts"][0].pop("sha256")
            item = await storage.item(version_key("fraud", number))
            assert (item["owner"], item["trained_on"]) == ("risk", "2025-01")
        assert after == before, "commits as well"
        assert await api.fetch("fraud") == {"model.pt": b"fraud 2"}
        assert await storage.check() == [
            "lost: version 1 'model.pt' is at s3://another-bucket/model.pt, which is not in this store"
        ]
        before_repeat = await everything(storage.table)
        await moving(variables, "aws", empty)
        assert await everything(storage.table) == before_repeat


# large objects


async def blocks_of(content: bytes, size: int = 300_000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.fixture
def parts_of_one_mebibyte() -> Iterator[None]:
    with mock.patch.object(s3_writes, "PART_SIZE", 1024 * 1024):
        yield


LARGE = bytes(range(256)) * 9_000


@pytest.mark.every_backend
@pytest.mark.usefixtures("parts_of_one_mebibyte")
@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
async def test_what_the_service_puts_is_exact_and_never_replaces(destination: Settings, content: bytes) -> None:
    async with looking_into(destination) as storage:
        store, key = storage.store, "models/m/v1/model.pt"
        right: Any = {"size": len(content), "sha256": digest_of(content)}
        for wrong in (content + b"x", content[:-1] if content else b"y", content[:-1] + b"z" if content else b"z"):
            async with aclosing(blocks_of(wrong)) as blocks:
                with pytest.raises(BodyMismatchError):
                    await store.put(key, blocks, **right)
            assert await store.stat(key) is None
        assert await storage.open_multiparts() == set()

        await store.put(key, blocks_of(content), **right)
        found = await store.stat(key)
        assert found is not None
        assert found.size == len(content)
        in_parts = destination.backend == "aws" and content == LARGE
        assert (found.sha256 is None, found.parts_sha256 is None) == (in_parts, not in_parts)
        assert found.sha256 in (None, digest_of(content))
        assert await read_all(store, key) == content

        for other in (b"other", LARGE[::-1]):
            async with aclosing(blocks_of(other)) as blocks:
                with pytest.raises(ObjectExistsError):
                    await store.put(key, blocks, size=len(other), sha256=digest_of(other))
        assert await read_all(store, key) == content
        assert await storage.open_multiparts() == set()


async def test_a_source_that_fails_on_the_way_leaves_nothing_behind(destination: Settings) -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield LARGE[:2_000_000]
        raise StoreUnavailableError("The disk fails.")

    async with looking_into(destination) as storage:
        with mock.patch.object(s3_writes, "PART_SIZE", 1024 * 1024):
            async with aclosing(failing()) as blocks:
                with pytest.raises(StoreUnavailableError, match="The disk fails"):
                    await storage.store.put("models/m/v1/x", blocks, size=len(LARGE), sha256=digest_of(LARGE))
        assert await storage.keys() | await storage.open_multiparts() == set()


@pytest.mark.usefixtures("parts_of_one_mebibyte")
async def test_a_large_object_that_came_before_the_end_is_read_and_not_sent_again(aws: Settings, small: Path) -> None:
    files = {"model.pt": LARGE}
    async with serving(local_settings(small)) as source, serving(aws) as api:
        await source.register("m", files)
        async with opened(local_settings(small), aws) as pair:
            with killed_at(1, *pair.destination, reached=True) as met, suppress(KilledError):
                await pair.move()
            assert met == ["put"]
            assert (await pair.move())[0] == "m: 1 version, 0 objects copied, 2 events"
            with mock.patch.object(pair.destination[1], "read", side_effect=AssertionError("read again")):
                assert (await pair.move())[0] == "m: 1 version, 0 objects copied, 2 events; nothing had changed"
        assert await api.fetch("m", "1") == files


@pytest.mark.usefixtures("parts_of_one_mebibyte")
async def test_other_bytes_under_the_key_are_never_taken_for_the_same(aws: Settings, small: Path) -> None:
    other = LARGE[:-1] + b"!"
    async with serving(local_settings(small)) as source, looking_into(aws) as storage:
        await source.register("m", {"model.pt": LARGE})
        key = object_key("m", 1, "model.pt")
        await storage.store.put(key, blocks_of(other), size=len(other), sha256=digest_of(other))
        async with opened(local_settings(small), aws) as pair:
            with pytest.raises(IncompleteMigrationError):
                await pair.move()
        assert await everything(storage.table) == {}
        assert await read_all(storage.store, key) == other


# what is refused before anything is done


async def test_what_cannot_begin_says_why(folder: Path, empty: Path, variables: dict[str, str]) -> None:
    said = await moving(variables, empty, "aws")
    assert (said.status, said.err) == (1, [f"There is no registry in '{empty}'. Name a folder that holds one."])
    said = await moving(variables, folder, empty, "--dry-run")
    assert (said.status, said.err) == (1, [f"There is no registry in '{empty}' yet: all would be copied."])
    assert not await asyncio.to_thread(empty.exists)
    same = "Source and destination are the same. Name two places."
    assert (await moving(variables, folder, folder / ".." / "data")).err == [same]
    assert (await moving(variables, "aws", "aws")).err == [same]

    said = await moving(variables, folder, "aws")
    missing = f"The table '{variables['MODELKEEP_TABLE']}' does not exist in us-east-1: run `modelkeep init`."
    assert (said.status, said.err) == (1, [missing])
    said = await moving(variables | {"MODELKEEP_BUCKET": "", "MODELKEEP_BACKEND": "local"}, folder, "aws")
    assert said.status == 2
    assert said.err[0].startswith("MODELKEEP_BUCKET is not set")
    for place in ("gcp", "local:", "local"):
        assert (await moving(variables, folder, place)).status == 2


async def test_a_missing_bucket_is_said_before_anything_is_written(
    folder: Path, aws: Settings, variables: dict[str, str]
) -> None:
    said = await moving(variables | {"MODELKEEP_BUCKET": "not-there"}, folder, "aws")
    assert said.err == ["The bucket 'not-there' does not exist in us-east-1: run `modelkeep init`."]
    async with looking_into(aws) as storage:
        assert await everything(storage.table) == {}


def test_iam_policy_prints_what_a_move_needs(variables: dict[str, str]) -> None:
    said = operate(variables, "iam-policy", "migrate")
    document = json.loads("\n".join(said.out))
    actions = {action for statement in document["Statement"] for action in statement["Action"]}
    assert {"dynamodb:Scan", "dynamodb:PutItem", "s3:PutObject", "s3:GetObjectVersion"} <= actions
    assert not [action for action in actions if "s3:Delete" in action]


async def test_the_source_is_only_read(folder: Path, empty: Path, variables: dict[str, str]) -> None:
    async with looking_into(local_settings(folder)) as storage:
        before = await everything(storage.table)
        files = {path: path.read_bytes() for path in (folder / "objects").rglob("*") if path.is_file()}
        assert (await moving(variables, folder, empty)).status == 0
        assert await everything(storage.table) == before
        assert {path: path.read_bytes() for path in (folder / "objects").rglob("*") if path.is_file()} == files
    assert head_key(MODEL) in before
    assert [key for key in before if key.partition == f"{EVENT}{MODEL}"]
