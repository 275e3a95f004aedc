"""Checking: a registry at work is clean, and every kind of fault that is planted is found and named."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from modelkeep.admin.wording import sentence
from modelkeep.domain.artifacts import Artifact, commit_of, object_key
from modelkeep.domain.values import Digest
from modelkeep.repositories.keys import event_key, head_key, trash_key, upload_key, version_key
from modelkeep.services.maintenance import findings
from modelkeep.settings import Settings
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.local.files import FileStore
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare_now
from tests.support.buckets import bucket_of
from tests.support.programs import operating
from tests.support.stores import digest_of
from tests.support.upkeep import Storage, looking_into

pytestmark = pytest.mark.one_backend


@pytest.fixture(scope="module", params=["local", "ministack"])
def variables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One registry for all tests here: each has a model of its own."""
    if request.param == "local":
        return local_environment(tmp_path_factory.mktemp("data"))
    return aws_environment(request.getfixturevalue("ministack"))


@pytest.fixture(scope="module")
def settings(variables: dict[str, str]) -> Iterator[Settings]:
    with environment(variables) as settings:
        prepare_now(settings)
        yield settings


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings) as api:
        yield api


@pytest.fixture(scope="module")
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with looking_into(settings) as storage:
        yield storage


@pytest.fixture
async def model(api: Api, storage: Storage) -> str:
    """Three versions, the second in production, the first before it; an open upload, and one version in the trash."""
    name = f"m-{uuid4().hex[:8]}"
    for number in (1, 2, 3, 4):
        await api.register(name, {"model.pt": f"{name} {number}".encode()})
    await api.promote(name, 1)
    await api.promote(name, 2)
    await api.ask("PUT", f"/{name}/aliases/canary", {"version": 3})
    await api.ask("DELETE", f"/{name}/versions/4", status=204)
    await api.begin(name, {"model.pt": b"x"})
    assert await faults(storage, name) == []
    return name


async def faults(storage: Storage, model: str) -> list[str]:
    """What is printed of one model, without a look at the others."""
    return [sentence(fault).removeprefix(f"{model}: ") for fault in await storage.checker().check_model(model)]


async def test_an_item_that_would_vanish_is_found(model: str, storage: Storage) -> None:
    far_off = int(datetime.now(UTC).timestamp()) + 10**7
    for key in (version_key(model, 1), head_key(model), event_key(model, 1), upload_key(model, 5), trash_key(model, 4)):
        await storage.edit(key, ttl=far_off)
        found = [fault for fault in await storage.check() if model in fault]
        assert found == [f"{key.partition} {key.sort} carries an expiry and would vanish; remove its attribute `ttl`"]
        await storage.put({name: value for name, value in (await storage.item(key)).items() if name != "ttl"})


async def test_a_ttl_that_is_no_time_is_left_alone(model: str, storage: Storage) -> None:
    await storage.edit(version_key(model, 1), ttl="two weeks")
    assert [fault for fault in await storage.check() if model in fault] == []
    assert not [change for change in await storage.sweep(after=timedelta(0)) if model in change]
    await storage.put(
        {name: value for name, value in (await storage.item(version_key(model, 1))).items() if name != "ttl"}
    )


async def test_a_model_without_versions_is_no_fault_and_no_sweep_touches_it(api: Api, storage: Storage) -> None:
    name = f"m-{uuid4().hex[:8]}"
    await api.ask("PUT", f"/{name}", {"description": "to come"}, status=201)
    assert [fault for fault in await storage.check() if name in fault] == []
    assert [change for change in await storage.sweep(after=timedelta(0)) if name in change] == []
    assert (await api.model(name))["description"] == "to come"


async def test_a_missing_head_is_found(model: str, storage: Storage) -> None:
    await storage.remove(head_key(model))
    assert await faults(storage, model) == ["has no head; run `modelkeep init --adopt`"]


async def test_a_deleted_model_with_versions_is_found(model: str, storage: Storage) -> None:
    item = await storage.item(head_key(model))
    deleted = {name: value for name, value in item.items() if name != "catalog"}
    await storage.put({**deleted, "deleted_at": "2026-01-01T00:00:00.000000Z"})
    assert "is deleted and still has versions" in await faults(storage, model)


async def test_a_wrong_latest_version_is_found(model: str, storage: Storage) -> None:
    await storage.edit(head_key(model), latest_version=2)
    assert await faults(storage, model) == ["latest is 2, the newest version is 3"]


async def test_production_that_is_not_there_is_found(model: str, storage: Storage) -> None:
    await storage.remove(version_key(model, 2))
    assert await faults(storage, model) == ["production is 2, which does not exist or is in another stage"]


async def test_production_that_says_otherwise_is_found(model: str, storage: Storage) -> None:
    await storage.edit(version_key(model, 2), stage="archived")
    assert await faults(storage, model) == ["production is 2, which does not exist or is in another stage"]


async def test_a_second_production_version_is_found(model: str, storage: Storage) -> None:
    await storage.edit(version_key(model, 3), stage="production")
    assert await faults(storage, model) == ["version 3 claims production, the head names 2"]


async def test_an_alias_that_leads_nowhere_is_found(model: str, storage: Storage) -> None:
    await storage.edit(head_key(model), aliases={"canary": 3, "gone": 9})
    assert await faults(storage, model) == ["alias 'gone' names version 9, which does not exist"]


async def test_a_production_history_that_leads_nowhere_is_found(model: str, storage: Storage) -> None:
    await storage.edit(head_key(model), production_history=[9, 1])
    assert await faults(storage, model) == ["version 9 is in the production history and does not exist"]


async def test_a_number_in_two_places_is_found(model: str, storage: Storage) -> None:
    upload = await storage.item(upload_key(model, 5))
    await storage.put({**upload, "version": 3})
    assert await faults(storage, model) == ["number 3 is in more than one place"]


async def test_a_number_that_was_never_given_out_is_found(model: str, storage: Storage) -> None:
    upload = await storage.item(upload_key(model, 5))
    await storage.put({**upload, "version": 7})
    assert await faults(storage, model) == ["number 7 was never given out: the next one is 6"]


async def test_a_hole_in_the_history_is_found(model: str, storage: Storage) -> None:
    await storage.remove(event_key(model, 3))
    assert await faults(storage, model) == ["event 3 is missing"]


async def test_a_history_that_ends_elsewhere_than_the_head_is_found(model: str, storage: Storage) -> None:
    generation = int((await storage.item(head_key(model)))["generation"])
    await storage.edit(head_key(model), generation=generation + 2)
    assert await faults(storage, model) == [f"the history ends at {generation}, the head is at {generation + 2}"]


@pytest.mark.parametrize("number", [1, 4], ids=["live", "trash"])
async def test_a_version_that_is_not_the_one_completed_is_found(model: str, storage: Storage, number: int) -> None:
    """A whole version in the place of another: its commit is right for its files, and history has another."""
    here = version_key(model, number) if number == 1 else trash_key(model, number)
    ours = (await storage.item(here))["registry"]
    (artifact,) = ours["artifacts"]
    foreign = {**artifact, "path": "other.pt", "key": object_key(model, number, "model.pt")}
    commit = commit_of(model, number, [Artifact(**foreign | {"sha256": Digest(artifact["sha256"])})])
    await storage.edit(here, registry={**ours, "artifacts": [foreign], "commit": commit})
    assert await faults(storage, model) == [
        f"version {number} has commit {commit}, its completion has {ours['commit']}"
    ]


async def test_a_version_that_an_older_release_completed_passes(model: str, storage: Storage) -> None:
    """It wrote no commit into the history."""
    for event in await storage.history(model):
        key = event_key(model, event.generation)
        await storage.put({name: value for name, value in (await storage.item(key)).items() if name != "commit"})
    assert await faults(storage, model) == []


async def test_files_that_are_not_those_of_the_commit_are_found(model: str, storage: Storage) -> None:
    """History and version agree on the commit, and the files of the version were changed."""
    ours = (await storage.item(version_key(model, 1)))["registry"]
    (artifact,) = ours["artifacts"]
    foreign = {**artifact, "path": "other.pt", "key": object_key(model, 1, "model.pt")}
    await storage.edit(version_key(model, 1), registry={**ours, "artifacts": [foreign]})
    assert await faults(storage, model) == [f"version 1 names other files than its commit {ours['commit']}"]


@pytest.mark.parametrize("number", [1, 4], ids=["live", "trash"])
async def test_missing_bytes_are_found(model: str, storage: Storage, number: int) -> None:
    """Of a version in the trash as well: it may be restored."""
    key = object_key(model, number, "model.pt")
    here = version_key(model, number) if number == 1 else trash_key(model, number)
    (artifact,) = (await storage.item(here))["registry"]["artifacts"]
    await storage.store.delete(key, version_id=artifact.get("version_id"))
    assert await faults(storage, model) == [f"version {number} 'model.pt' has no object at {key}"]


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
@pytest.mark.parametrize("number", [1, 4], ids=["live", "trash"])
async def test_bytes_that_only_who_names_their_version_finds_are_found(
    model: str, api: Api, storage: Storage, settings: Settings, number: int
) -> None:
    key = object_key(model, number, "model.pt")
    async with bucket_of(settings) as bucket:
        marker = await bucket.hide(key)
        found = await storage.checker().check_model(model)
        assert len(found) == 1
        (fault,) = found
        assert fault == findings.HiddenObject(model, number, "model.pt", key, marker)
        assert sentence(fault).endswith(f"`aws s3api delete-object` with that key and `--version-id {marker}`")
        await bucket.remove(key, marker)
        assert await faults(storage, model) == [], "which repairs it"

        other = await bucket.overwrite(key, b"others")
        found = await storage.checker().check_model(model)
        assert len(found) == 1
        (fault,) = found
        assert fault == findings.OverwrittenObject(model, number, "model.pt", key, other)
        assert sentence(fault).endswith(f"`aws s3api delete-object` with that key and `--version-id {other}`")
        assert (await api.fetch(model, "3"))["model.pt"] == f"{model} 3".encode()
        await bucket.remove(key, other)
        assert await faults(storage, model) == []


@pytest.mark.every_backend
async def test_another_size_is_found(model: str, storage: Storage) -> None:
    ours = (await storage.item(version_key(model, 1)))["registry"]
    (artifact,) = ours["artifacts"]
    size = int(artifact["size"])
    edited = {**ours, "artifacts": [{**artifact, "size": Decimal(size + 1)}]}
    await storage.edit(version_key(model, 1), registry=edited)
    assert await faults(storage, model) == [
        f"version 1 names other files than its commit {ours['commit']}",
        f"version 1 'model.pt' has {size} bytes in the store, {size + 1} in the table",
    ]


@pytest.mark.every_backend
async def test_other_bytes_are_found(model: str, storage: Storage) -> None:
    ours = (await storage.item(version_key(model, 1)))["registry"]
    (artifact,) = ours["artifacts"]
    await storage.edit(version_key(model, 1), registry={**ours, "artifacts": [{**artifact, "sha256": "0" * 64}]})
    found = await faults(storage, model)
    assert found[1:] == ["version 1 'model.pt' has other bytes in the store than the table records"]


async def lose_checksum(storage: Storage, model: str, number: int) -> None:
    """Put the same bytes in the place of an object, as a program does that sends no checksum."""
    key, store = object_key(model, number, "model.pt"), storage.store
    if isinstance(store, FileStore):
        (storage.settings.data_dir / "checksums" / key).unlink()
        return
    assert isinstance(store, S3Store)
    here = version_key(model, number)
    ours = (await storage.item(here))["registry"]
    (artifact,) = ours["artifacts"]
    content = b"".join([block async for block in store.read(key)])
    await store.delete(key, version_id=artifact["version_id"])
    answer = await store._client.put_object(Bucket=store._bucket, Key=key, Body=content)
    changed = {**artifact, "version_id": answer["VersionId"]}
    await storage.edit(here, registry={**ours, "artifacts": [changed]})


@pytest.mark.every_backend
async def test_a_checksum_that_is_gone_is_found(model: str, storage: Storage) -> None:
    await lose_checksum(storage, model, 1)
    said = " ".join(await faults(storage, model))
    assert said.startswith("version 1 'model.pt' has no checksum at models/")


@pytest.mark.every_backend
async def test_the_checksum_of_parts_is_missed_as_well(model: str, storage: Storage, api: Api) -> None:
    files = {"model.pt": b"in parts"}
    begun = await api.begin(model, files, multipart=True)
    await api.upload(begun, files)
    number = (await api.complete(model, begun["version"]))["version"]
    assert await faults(storage, model) == []
    await lose_checksum(storage, model, number)
    said = " ".join(await faults(storage, model))
    assert said.startswith(f"version {number} 'model.pt' has no checksum at models/")


@pytest.mark.every_backend
async def test_a_checksum_that_nobody_is_known_to_have_seen_is_not_missed(model: str, storage: Storage) -> None:
    """Of an adopted version, say, or of one that an earlier release completed."""
    await lose_checksum(storage, model, 1)
    for event in await storage.history(model):
        key = event_key(model, event.generation)
        await storage.put({name: value for name, value in (await storage.item(key)).items() if name != "commit"})
    assert await faults(storage, model) == []


@pytest.mark.parametrize("variables", ["ministack"], indirect=True)
async def test_bytes_in_another_bucket_are_found(model: str, storage: Storage) -> None:
    path = "s3://elsewhere/model.pt"
    await storage.put({"model_name": model, "version": 1, "stage": "archived", "s3_path": path})
    found = await faults(storage, model)
    assert found[-1] == f"version 1 'model.pt' is at {path}, which is not in this store"


@pytest.mark.every_backend
async def test_objects_that_are_not_the_registrys_are_found_and_counted(model: str, storage: Storage) -> None:
    """Beside the files of a version, of an upload and of the trash; in no version's folder; in no model's folder."""
    beside = [f"models/{model}/v{number}/" for number in (1, 4, 5)]
    keys = [f"{folder}{name}" for folder in beside for name in ("a.txt", "b/c.txt")]
    keys += [f"models/{model}/latest/model.pt", f"models/{model}-backup.tar"]
    for key in keys:
        await put_past_the_registry(storage, key, b"stray")
    try:
        said = await storage.check()
    finally:
        for key in keys:
            await storage.store.delete(key)
    what = "of {} bytes are not the registry's"
    assert [line.partition(":")[0] for line in said if what.format(10) in line] == beside
    assert [line.partition(":")[0] for line in said if what.format(5) in line] == ["models/", f"models/{model}/"]
    assert all("2 object(s)" in line for line in said if what.format(10) in line)


@pytest.mark.every_backend
async def test_what_a_sweep_will_take_is_not_named(model: str, storage: Storage, api: Api) -> None:
    """Bytes that came after their upload was abandoned are removed in time; nobody has to do a thing."""
    begun = await api.begin(model, {"late.pt": b"x"})
    await api.ask("DELETE", f"/{model}/versions/{begun['version']}/upload", status=204)
    key = object_key(model, begun["version"], "late.pt")
    await put_past_the_registry(storage, key, b"x")
    assert not [line for line in await storage.check() if f"models/{model}" in line]
    await storage.store.delete(key)


async def put_past_the_registry(storage: Storage, key: str, content: bytes) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield content

    await storage.store.put(key, blocks(), size=len(content), sha256=digest_of(content))


@pytest.mark.every_backend
async def test_the_command_names_faults_and_ends_with_1(
    model: str, storage: Storage, variables: dict[str, str]
) -> None:
    await storage.edit(head_key(model), latest_version=2)
    said = await operating(variables, "check")
    assert said.status == 1
    assert f"{model}: latest is 2, the newest version is 3" in said.out
    assert said.out[-1] == f"{len(said.out) - 1} fault(s)"


async def test_a_program_reads_faults_as_json(model: str, storage: Storage, variables: dict[str, str]) -> None:
    await storage.edit(head_key(model), latest_version=2)
    said = await operating(variables, "-o", "json", "check")
    assert (said.status, said.err) == (1, [])
    document = json.loads("\n".join(said.out))
    assert document["complete"] is True
    assert document["count"] == len(document["findings"])
    assert [finding for finding in document["findings"] if finding["model"] == model] == [
        {
            "code": "latest_version_mismatch",
            "detail": f"{model}: latest is 2, the newest version is 3",
            "model": model,
            "recorded": 2,
            "newest": 3,
        }
    ]


async def test_other_forms_have_a_line_for_each_fault(model: str, storage: Storage, variables: dict[str, str]) -> None:
    await storage.edit(head_key(model), latest_version=2)
    said = await operating(variables, "-o", "jsonl", "check")
    assert (said.status, said.err) == (1, [])
    (finding,) = [each for each in map(json.loads, said.out) if each["model"] == model]
    assert (finding["code"], finding["recorded"], finding["newest"]) == ("latest_version_mismatch", 2, 3)
    header, *rows = (await operating(variables, "-o", "csv", "check")).out
    assert header.startswith("code,detail,model")
    assert len(rows) == len(said.out)
