"""Uploads under way: how much of each has arrived, told without a change to them."""

import pytest

from modelkeep.domain import uploads
from modelkeep.repositories.versions import Versions
from modelkeep.services.uploading import progress
from modelkeep.settings import Settings
from tests.support.api import Api, Shelf, when
from tests.support.journeys.fault_scenarios import PART
from tests.support.upkeep import looking_into

SMALL = {"config.json": b"{}", "model.pt": b"weights"}


async def test_the_uploads_of_a_model_are_listed_newest_first_on_pages_of_any_size(api: Api, model: str) -> None:
    await api.register(model)
    begun = [await api.begin(model, SMALL) for _ in range(3)]
    for limit in (1, 2, 100):
        found = [item async for item in api.walk(f"/{model}/uploads", limit=limit)]
        assert [item["version"] for item in found] == [4, 3, 2]
    assert [item["expires_at"] for item in found] == [each["expires_at"] for each in reversed(begun)]
    assert found[0].keys() == {
        "model", "version", "artifact_count", "arrived_count", "size", "arrived_size", "created_at", "created_by",
        "expires_at",
    }  # fmt: skip
    assert when(found[0]["created_at"]) < when(found[0]["expires_at"])
    assert found[0]["created_by"] == "anonymous"


async def test_what_has_arrived_counts_until_the_version_exists(api: Api, model: str) -> None:
    begun = await api.begin(model, SMALL)
    arrived = []
    for artifact in begun["artifacts"]:
        arrived.append(await _arrived(api, model))
        await api.send(artifact["upload"], SMALL[artifact["path"]])
    arrived.append(await _arrived(api, model))
    assert arrived == [(0, 2, 0, 9), (1, 2, 2, 9), (2, 2, 9, 9)]
    await api.complete(model, 1)
    assert await api.ask("GET", f"/{model}/uploads") == {"items": [], "next_cursor": None}


async def test_parts_of_large_files_count(api: Api, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MIN_PART_SIZE", PART)
    files = {"large.bin": bytes(2 * PART + 7), "another.bin": bytes(PART + 1)}
    begun = await api.begin(model, files, multipart=True)
    assert await _arrived(api, model) == (0, 2, 0, 3 * PART + 8)
    large = next(artifact for artifact in begun["artifacts"] if artifact["path"] == "large.bin")
    await api.upload_parts(
        begun, large | {"multipart": large["multipart"] | {"parts_done": [2, 3]}}, files["large.bin"]
    )
    assert await _arrived(api, model) == (0, 2, PART, 3 * PART + 8)
    await api.upload_parts(begun, large, files["large.bin"])
    assert await _arrived(api, model) == (1, 2, 2 * PART + 7, 3 * PART + 8)
    await api.problem("POST", f"/{model}/versions/1/complete", status=409, code="upload_incomplete")
    assert await _arrived(api, model) == (1, 2, 2 * PART + 7, 3 * PART + 8)


async def test_lost_parts_have_not_arrived_and_a_reader_opens_no_others(
    api: Api, settings: Settings, model: str
) -> None:
    files = {"model.pt": b"weights"}
    await api.upload(await api.begin(model, files, multipart=True), files)
    async with looking_into(settings) as storage:
        versions = Versions(storage.table)
        upload = await versions.find_upload(model, 1)
        assert upload is not None
        assert upload.artifacts[0].multipart is not None
        await storage.store.abort(upload.artifacts[0].key, upload.artifacts[0].multipart.id)
        assert await _arrived(api, model) == (0, 1, 0, 7)
        assert await versions.find_upload(model, 1) == upload
        assert [found async for found in storage.store.list_multiparts(f"models/{model}/")] == []


async def test_a_page_ends_before_there_is_too_much_to_look_at(
    api: Api, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await api.begin(model, SMALL, multipart=True)
    for most, sizes in [(1, [1, 1, 1]), (4, [2, 1]), (6, [3])]:
        monkeypatch.setattr(progress, "MAX_INSPECTED", most)
        found, pages, cursor = [], [], ""
        while cursor is not None:
            page = await api.ask("GET", f"/{model}/uploads{cursor and f'?cursor={cursor}'}")
            found += [item["version"] for item in page["items"]]
            pages.append(len(page["items"]))
            cursor = page["next_cursor"]
        assert (pages, found) == (sizes, [3, 2, 1])


async def test_what_is_no_model_has_no_uploads_and_a_cursor_is_of_its_list(api: Api, shelf: Shelf) -> None:
    await api.problem("GET", "/absent/uploads", status=404, code="model_not_found")
    await api.problem("GET", f"/{shelf.model}/uploads?cursor={shelf.cursor}", status=400, code="invalid_cursor")
    await api.problem("GET", f"/{shelf.model}/uploads?limit=0", status=422, code="invalid_request")


async def _arrived(api: Api, model: str) -> tuple[int, ...]:
    (item,) = (await api.ask("GET", f"/{model}/uploads"))["items"]
    return tuple(item[name] for name in ("arrived_count", "artifact_count", "arrived_size", "size"))
