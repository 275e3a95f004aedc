"""Parts that are lost before they are an object: another multipart upload is opened, and they are sent again to it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from modelkeep.domain import uploads
from modelkeep.repositories.keys import head_key, upload_key
from modelkeep.repositories.versions import Versions
from modelkeep.settings import Settings
from modelkeep.storage.objects import ObjectStore
from tests.support.api import Api, sha256
from tests.support.faults.aws import Fault
from tests.support.journeys.fault_scenarios import PART, Site, site
from tests.support.servers import AwsServer
from tests.support.upkeep import Storage, looking_into

FILES = {"weights.bin": b"parts of one upload", "model.pt": b"another upload"}


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with looking_into(settings) as storage:
        yield storage


@pytest.fixture
async def aborted(api: Api, storage: Storage, model: str) -> None:
    """Upload 1 of the model, both of whose multipart uploads were aborted behind its back with all their parts."""
    await api.upload(await api.begin(model, FILES, multipart=True), FILES)
    await abort(storage, model)


async def abort(storage: Storage, model: str) -> None:
    upload = await Versions(storage.table).find_upload(model, 1)
    assert upload is not None
    for artifact in upload.artifacts:
        assert artifact.multipart is not None
        await storage.store.abort(artifact.key, artifact.multipart.id)


async def open_multiparts(store: ObjectStore, model: str) -> int:
    return len([found async for found in store.list_multiparts(f"models/{model}/")])


@pytest.mark.every_backend
@pytest.mark.usefixtures("aborted")
async def test_the_status_of_an_upload_opens_others_for_parts_that_were_aborted(
    api: Api, storage: Storage, model: str
) -> None:
    status = await api.ask("GET", f"/{model}/versions/1/upload")
    assert [artifact["multipart"]["parts_done"] for artifact in status["artifacts"]] == [[], []]
    await api.upload(status, FILES)
    assert await open_multiparts(storage.store, model) == 2
    await api.complete(model, 1)
    assert await api.fetch(model, "1") == FILES
    assert await open_multiparts(storage.store, model) == 0
    assert [event["type"] for event in await api.events(model)] == ["upload_begun", "version_completed"]


@pytest.mark.every_backend
@pytest.mark.usefixtures("aborted")
async def test_completing_names_aborted_parts_as_missing_and_takes_them_again(
    api: Api, storage: Storage, model: str
) -> None:
    refused = await api.problem("POST", f"/{model}/versions/1/complete", status=409, code="upload_incomplete")
    assert refused["missing"] == [{"path": path, "parts": [1]} for path in FILES]
    body = {"path": "weights.bin", "parts": [{"number": 1, "sha256": sha256(FILES["weights.bin"])}]}
    signed = await api.ask("POST", f"/{model}/versions/1/upload/parts", body)
    assert (await api.send(signed["parts"][0], FILES["weights.bin"])).status_code == 200
    await api.upload(await api.ask("GET", f"/{model}/versions/1/upload"), FILES)
    await api.complete(model, 1)
    assert await api.fetch(model, "1") == FILES


@pytest.mark.every_backend
@pytest.mark.usefixtures("aborted")
async def test_of_many_callers_that_find_parts_aborted_one_opens_others(api: Api, storage: Storage, model: str) -> None:
    path = f"/models/{model}/versions/1"
    answers = await asyncio.gather(
        *(api.request("GET", f"{path}/upload") for _ in range(6)),
        *(api.request("POST", f"{path}/complete") for _ in range(6)),
    )
    assert [answer.status_code for answer in answers] == [200] * 6 + [409] * 6
    assert await open_multiparts(storage.store, model) == 2
    await api.upload(answers[0].json(), FILES)
    await asyncio.gather(*(api.complete(model, 1) for _ in range(6)))
    assert await api.fetch(model, "1") == FILES


@pytest.mark.usefixtures("aborted")
async def test_an_upload_that_an_earlier_release_began_gets_others_too(api: Api, storage: Storage, model: str) -> None:
    item = dict(await storage.item(upload_key(model, 1)))
    del item["revision"]
    await storage.put(item)
    await api.upload(await api.ask("GET", f"/{model}/versions/1/upload"), FILES)
    await api.complete(model, 1)


@pytest.mark.usefixtures("aborted")
async def test_an_upload_of_a_model_in_a_newer_format_gets_no_others(api: Api, storage: Storage, model: str) -> None:
    await storage.edit(head_key(model), format=99)
    before = await storage.item(upload_key(model, 1))
    await api.problem("GET", f"/{model}/versions/1/upload", status=503, code="newer_format")
    assert await storage.item(upload_key(model, 1)) == before


@pytest.fixture
async def served(ministack: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A registry behind a proxy that can answer as S3 does."""
    monkeypatch.setattr(uploads, "MIN_PART_SIZE", PART)
    async with site(ministack) as served:
        yield served


async def test_after_a_conflict_the_parts_are_sent_again_to_another_multipart_upload(served: Site) -> None:
    """S3 answers 409 ConditionalRequestConflict, and keeps listing parts that it will never assemble."""
    api = served.api
    await api.upload(await api.begin("m", FILES, multipart=True), FILES)
    with served.storm.raging(Fault.CONFLICT, deep=1, operations={"CompleteMultipartUpload"}):
        refused = await api.problem("POST", "/m/versions/1/complete", status=409, code="upload_incomplete")
    lost = refused["missing"][0]["path"]
    status = await api.ask("GET", "/m/versions/1/upload")
    states = {
        artifact["path"]: (artifact["state"], artifact["multipart"]["parts_done"]) for artifact in status["artifacts"]
    }
    assert states[lost] == ("missing", [])
    assert [state for path, (state, _) in states.items() if path != lost] == ["arrived"]
    await api.upload(status, FILES)
    await api.complete("m", 1)
    assert await api.fetch("m", "1") == FILES
    assert await served.storage.sweep(after=timedelta(hours=26)) == [f"models/m/v1/{lost}: orphaned parts"]
    assert await served.storage.open_multiparts() == set()
    assert served.s3.violations == []
