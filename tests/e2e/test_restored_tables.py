"""A table that was restored to an earlier moment, beside the objects of today: no object stands for other bytes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.uploads import Upload
from modelkeep.repositories.keys import to_text, upload_key
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.uploading.assembly import Assembly
from modelkeep.services.uploading.verification import CLOCK_TOLERANCE
from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.stores import presign_part, send
from tests.support.upkeep import Storage

pytestmark = pytest.mark.every_backend

LOST, NEW = b"lost by the restore", b"registered since   "
"""Of one size, so that neither the size nor the number of parts tells them apart."""


@pytest.fixture
async def restored(api: Api, storage: Storage, settings: Settings) -> AsyncIterator[Api]:
    """A service over a table that knows of version 1 alone; the objects of versions 2 to 6 of `m` are still there."""
    await api.register("m", {"model.pt": b"one"})
    yesterday = await storage.items()
    for number in range(2, 6):
        assert await api.register("m", {"model.pt": LOST}, multipart=number % 2 == 0, reuse=False) == number
    await api.register("m", {"weights/model.pt": LOST, "config.json": b"{}"}, reuse=False)
    await api.register("younger", {"model.pt": LOST}, multipart=True)
    await storage.restore(yesterday)
    async with serving(settings) as restored:
        yield restored


@pytest.mark.parametrize("multipart", [True, False])
async def test_a_number_whose_keys_are_taken_is_skipped(restored: Api, multipart: bool) -> None:
    assert await restored.register("m", {"model.pt": NEW}, multipart=multipart) == 7
    assert await restored.fetch("m", "7") == {"model.pt": NEW}
    assert await restored.register("m", {"model.pt": NEW}) == 8
    assert await restored.register("younger", {"model.pt": NEW}) == 2
    assert [event["version"] for event in await restored.events("m")] == [1, 1, 7, 7, 8, 8]


async def test_check_names_what_has_objects_and_was_never_given_out(restored: Api, storage: Storage) -> None:
    said = "m: number {} has {} object(s) and was never given out: the next one is 2"
    younger = "younger: number 1 has 1 object(s) and was never given out: the next one is 1"
    assert await storage.check() == [*(said.format(number, 1 + (number == 6)) for number in range(2, 7)), younger]
    await restored.register("m", {"model.pt": NEW})
    assert await storage.check() == [younger]


FILES = {"model.pt": NEW}


async def begun(storage: Storage) -> Upload:
    upload = await Versions(storage.table).find_upload("m", 1)
    assert upload is not None
    return upload


async def put_in_parts(api: Api, storage: Storage, content: bytes) -> None:
    """Let another multipart upload become the object of `m` 1, past its upload."""
    store, key = storage.store, object_key("m", 1, "model.pt")
    multipart_id = await store.begin(key)
    assert (await send(api.http, await presign_part(store, key, multipart_id, 1, content), content)).status_code == 200
    await store.complete(key, multipart_id, await store.list_parts(key, multipart_id))


async def test_an_object_of_other_parts_does_not_pass(api: Api, storage: Storage) -> None:
    await api.upload(await api.begin("m", FILES, multipart=True), FILES)
    await put_in_parts(api, storage, LOST)
    await api.problem("POST", "/m/versions/1/complete", status=422, code="checksum_mismatch")
    assert await api.generation("m") == 1


async def test_an_object_of_equal_parts_passes(api: Api, storage: Storage) -> None:
    await api.upload(await api.begin("m", FILES, multipart=True), FILES)
    await put_in_parts(api, storage, NEW)
    await api.complete("m", 1)
    assert await api.fetch("m", "1") == FILES


async def test_an_object_whose_completion_was_interrupted_passes_by_the_checksum_that_was_noted(
    api: Api, storage: Storage, settings: Settings
) -> None:
    await api.upload(await api.begin("m", FILES, multipart=True), FILES)
    before = await storage.items()
    assert await Assembly(Ledger(storage.table), Versions(storage.table), storage.store).complete(await begun(storage))
    after = await storage.items()
    await storage.restore(before)
    if settings.backend == "aws":
        await api.problem("POST", "/m/versions/1/complete", status=422, code="checksum_mismatch")
    await storage.restore(after)
    await api.complete("m", 1)
    assert await api.fetch("m", "1") == FILES
    assert await storage.check() == []


@pytest.mark.parametrize("multipart", [True, False])
async def test_an_object_from_before_the_upload_does_not_pass(api: Api, storage: Storage, multipart: bool) -> None:
    await api.upload(await api.begin("m", FILES, multipart=multipart), FILES)
    created_at, minute = (await begun(storage)).created_at, timedelta(minutes=1)
    await storage.edit(upload_key("m", 1), created_at=to_text(created_at + CLOCK_TOLERANCE + minute))
    await api.problem("POST", "/m/versions/1/complete", status=422, code="object_predates_upload")
    assert await api.generation("m") == 1
    await storage.edit(upload_key("m", 1), created_at=to_text(created_at + CLOCK_TOLERANCE - minute))
    await api.complete("m", 1)
