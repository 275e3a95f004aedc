"""From a registration to a complete version: URLs, what is missing, parts, completion, and giving up."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.domain import uploads
from modelkeep.domain.artifacts import object_key
from modelkeep.domain.uploads import GIB, MIB
from modelkeep.domain.values import Digest
from modelkeep.repositories.version_items import version_to_item
from modelkeep.settings import Settings
from modelkeep.storage.table import Absent, Put
from tests.support.api import Api, declare, sha256, signed_until, when
from tests.support.builders import operation, version

FIELDS = {"model", "version", "expires_at", "artifacts"}
ARTIFACT_FIELDS = {"path", "size", "sha256", "state", "upload", "multipart"}
URL_FIELDS = {"method", "url", "headers", "expires_at"}
PART = 5 * MIB
ZEROS = "0" * 64


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 5 MiB, the least that S3 takes, so that few bytes are many parts."""
    monkeypatch.setattr(uploads, "MIN_PART_SIZE", PART)


# -- begin


async def test_an_upload_has_a_url_for_the_bytes_of_each_artifact(api: Api, model: str) -> None:
    files = {"model.pt": b"weights", "config.json": b""}
    begun = await api.begin(model, files)
    assert begun.keys() == FIELDS
    assert (begun["model"], begun["version"]) == (model, 1)
    assert [artifact["path"] for artifact in begun["artifacts"]] == list(files)
    for artifact in begun["artifacts"]:
        content = files[artifact["path"]]
        assert artifact.keys() == ARTIFACT_FIELDS
        assert (artifact["size"], artifact["sha256"]) == (len(content), sha256(content))
        assert (artifact["state"], artifact["multipart"]) == ("missing", None)
        assert artifact["upload"].keys() == URL_FIELDS
        assert artifact["upload"]["method"] == "PUT"
        assert artifact["upload"]["headers"] == {
            "x-amz-checksum-sha256": Digest(sha256(content)).as_s3_checksum(),
            "if-none-match": "*",
            "content-length": str(len(content)),
            "content-type": "application/octet-stream",
        }


async def test_what_expires_says_when(api: Api, settings: Settings, model: str) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    begun = await api.begin(model, {"model.pt": b"weights"})
    ended = datetime.now(UTC)
    life, url_life = timedelta(seconds=settings.upload_ttl_seconds), timedelta(seconds=settings.upload_url_ttl_seconds)
    assert began + life <= when(begun["expires_at"]) <= ended + life
    upload = begun["artifacts"][0]["upload"]
    assert began + url_life <= when(upload["expires_at"]) <= ended + url_life
    assert (
        when(upload["expires_at"]) <= signed_until(upload["url"]) <= when(upload["expires_at"]) + timedelta(seconds=1)
    )


async def test_large_artifacts_go_up_in_parts(api: Api, settings: Settings, model: str) -> None:
    sizes = {
        "small": settings.multipart_threshold_bytes,
        "large": settings.multipart_threshold_bytes + 1,
        "huge": 1000 * GIB,
    }
    artifacts = [{"path": path, "size": size, "sha256": ZEROS} for path, size in sizes.items()]
    begun = await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts}, status=201)
    small, large, huge = begun["artifacts"]
    assert small["multipart"] is None
    assert large["upload"] is None
    assert large["multipart"] == {"part_size": 64 * MIB, "part_count": 2, "parts_done": []}
    assert huge["multipart"] == {"part_size": GIB, "part_count": 1000, "parts_done": []}


async def test_a_registration_may_force_parts_on_or_off(api: Api, model: str) -> None:
    artifacts = [{"path": "model.pt", "size": 5 * GIB, "sha256": ZEROS}, {"path": "empty", "size": 0, "sha256": ZEROS}]
    path = f"/{model}/versions"
    off = await api.ask("POST", path, {"artifacts": artifacts, "multipart": False}, status=201)
    assert [artifact["multipart"] for artifact in off["artifacts"]] == [None, None]
    on = await api.ask("POST", path, {"artifacts": artifacts, "multipart": True}, status=201)
    assert [bool(artifact["multipart"]) for artifact in on["artifacts"]] == [True, False]
    artifacts[0]["size"] = 5 * GIB + 1
    refused = await api.problem(
        "POST", path, {"artifacts": artifacts, "multipart": False}, status=413, code="artifact_too_large"
    )
    assert (refused["path"], refused["size"], refused["limit"]) == ("model.pt", 5 * GIB + 1, 5 * GIB)
    assert await api.generation(model) == 2


async def test_a_version_may_have_a_thousand_artifacts(api: Api, model: str) -> None:
    artifacts = [{"path": f"shard-{number}", "size": 1, "sha256": ZEROS} for number in range(1000)]
    begun = await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts}, status=201)
    assert len(begun["artifacts"]) == 1000


async def test_concurrent_registrations_get_numbers_of_their_own(api: Api, model: str) -> None:
    begun = await asyncio.gather(*(api.begin(model, {"model.pt": b"same"}) for _ in range(10)))
    assert sorted(upload["version"] for upload in begun) == list(range(1, 11))
    assert await api.generation(model) == 10


# -- begin, repeated


async def test_a_registration_repeated_under_its_key_is_the_same_upload(api: Api, model: str) -> None:
    files = {"model.pt": b"weights"}
    first = await api.begin(model, files, key="run-1")
    again = await api.begin(model, files, key="run-1")
    assert (again["version"], again["expires_at"]) == (1, first["expires_at"])
    assert await api.generation(model) == 1
    await api.upload(again, files)
    assert (await api.begin(model, files, key="run-1"))["artifacts"][0]["state"] == "arrived"
    assert (await api.begin(model, files, key="run-2"))["version"] == 2


async def test_a_key_belongs_to_one_body_and_one_model(api: Api, model: str) -> None:
    files = {"model.pt": b"weights"}
    await api.begin(model, files, key="run-1")
    await api.problem(
        "POST",
        f"/{model}/versions",
        {"artifacts": declare({"model.pt": b"other"})},
        headers={"idempotency-key": "run-1"},
        status=422,
        code="idempotency_key_reused",
    )
    assert await api.generation(model) == 1
    assert (await api.begin(f"{model}-b", files, key="run-1"))["version"] == 1


async def test_a_registration_repeated_after_completion_answers_that_everything_arrived(api: Api, model: str) -> None:
    files = {"model.pt": b"weights", "config.json": b"{}"}
    begun = await api.begin(model, files, key="run-1")
    await api.upload(begun, files)
    await api.complete(model, 1)
    again = await api.begin(model, files, key="run-1")
    assert again == await api.ask("GET", f"/{model}/versions/1/upload")
    assert (again["version"], again["expires_at"]) == (1, None)
    assert [artifact["path"] for artifact in again["artifacts"]] == ["config.json", "model.pt"]
    for artifact in again["artifacts"]:
        assert artifact.keys() == ARTIFACT_FIELDS
        assert (artifact["state"], artifact["upload"], artifact["multipart"]) == ("arrived", None, None)


async def test_a_registration_repeated_after_it_was_abandoned_is_refused(api: Api, model: str) -> None:
    files = {"model.pt": b"weights"}
    await api.begin(model, files, key="run-1")
    await api.ask("DELETE", f"/{model}/versions/1/upload", status=204)
    await api.problem(
        "POST",
        f"/{model}/versions",
        {"artifacts": declare(files)},
        headers={"idempotency-key": "run-1"},
        status=404,
        code="upload_not_found",
    )
    assert await api.generation(model) == 2


async def test_concurrent_repeats_under_one_key_make_one_upload(api: Api, model: str) -> None:
    begun = await asyncio.gather(*(api.begin(model, {"model.pt": b"same"}, key="run-1") for _ in range(8)))
    assert {upload["version"] for upload in begun} == {1}
    assert await api.generation(model) == 1


# -- bytes


async def test_only_the_declared_bytes_are_taken_and_only_once(api: Api, model: str) -> None:
    begun = await api.begin(model, {"model.pt": b"weights"})
    upload = begun["artifacts"][0]["upload"]
    for wrong in (b"WEIGHTS", b"weight"):
        signed = {**upload, "headers": upload["headers"] | {"content-length": str(len(wrong))}}
        assert (await api.send(signed, wrong)).status_code in {400, 403, 501}
    assert (await api.ask("GET", f"/{model}/versions/1/upload"))["artifacts"][0]["state"] == "missing"
    assert (await api.send(upload, b"weights")).status_code == 200
    assert (await api.send(upload, b"weights")).status_code == 412
    await api.complete(model, 1)
    assert (await api.send(upload, b"weights")).status_code == 412
    assert await api.fetch(model, "1") == {"model.pt": b"weights"}


async def test_an_interrupted_upload_is_resumed_where_it_stopped(api: Api, model: str) -> None:
    files = {"model.pt": b"weights", "config.json": b"{}"}
    begun = await api.begin(model, files)
    await api.send(begun["artifacts"][1]["upload"], files["config.json"])
    resumed = await api.ask("GET", f"/{model}/versions/1/upload")
    assert resumed.keys() == FIELDS
    assert resumed["expires_at"] == begun["expires_at"]
    assert [(artifact["path"], artifact["state"]) for artifact in resumed["artifacts"]] == [
        ("model.pt", "missing"),
        ("config.json", "arrived"),
    ]
    assert resumed["artifacts"][1]["upload"] is None
    await api.upload(resumed, files)
    assert {item["state"] for item in (await api.ask("GET", f"/{model}/versions/1/upload"))["artifacts"]} == {"arrived"}
    await api.complete(model, 1)


async def test_parts_go_up_in_any_order_and_are_remembered(api: Api, small_parts: None, model: str) -> None:
    content = bytes(range(256)) * (2 * PART // 256) + b"the tail"
    parts = [content[:PART], content[PART : 2 * PART], content[2 * PART :]]
    begun = await api.begin(model, {"weights.bin": content}, multipart=True)
    assert begun["artifacts"][0]["multipart"] == {"part_size": PART, "part_count": 3, "parts_done": []}

    async def send(*numbers: int) -> Any:
        body = {"path": "weights.bin", "parts": [{"number": n, "sha256": sha256(parts[n - 1])} for n in numbers]}
        signed = await api.ask("POST", f"/{model}/versions/1/upload/parts", body)
        assert signed.keys() == {"path", "parts"}
        for part, number in zip(signed["parts"], numbers, strict=True):
            assert part.keys() == URL_FIELDS | {"number"}
            assert part["number"] == number
            assert part["headers"]["content-length"] == str(len(parts[number - 1]))
            assert (await api.send(part, parts[number - 1])).status_code == 200
        return (await api.ask("GET", f"/{model}/versions/1/upload"))["artifacts"][0]

    resumed = await send(3)
    assert (resumed["state"], resumed["multipart"]["parts_done"]) == ("missing", [3])
    refused = await api.problem("POST", f"/{model}/versions/1/complete", status=409, code="upload_incomplete")
    assert refused["missing"] == [{"path": "weights.bin", "parts": [1, 2]}]
    whole = await send(2, 1)
    assert (whole["state"], whole["multipart"]["parts_done"]) == ("arrived", [1, 2, 3])
    assert await api.generation(model) == 1
    await api.complete(model, 1)
    assert await api.fetch(model, "1") == {"weights.bin": content}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"path": "large.bin", "parts": []}, 422, "invalid_request"),
        ({"path": "large.bin"}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 0, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": -1, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 5, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 1001, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": "1", "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": True, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 1}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 1, "sha256": "0" * 63}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 1, "sha256": ZEROS, "etag": "x"}]}, 422, "invalid_request"),
        ({"path": "large.bin", "parts": [{"number": 1, "sha256": ZEROS}] * 2}, 422, "invalid_request"),
        ({"path": "../large.bin", "parts": [{"number": 1, "sha256": ZEROS}]}, 422, "invalid_request"),
        ({"path": "large.bi", "parts": [{"number": 1, "sha256": ZEROS}]}, 404, "artifact_not_found"),
        ({"path": "small.bin", "parts": [{"number": 1, "sha256": ZEROS}]}, 409, "not_multipart"),
    ],
)
async def test_only_parts_of_the_plan_are_signed(api: Api, shelf: Any, body: Any, status: int, code: str) -> None:
    await api.problem("POST", f"/{shelf.model}/versions/5/upload/parts", body, status=status, code=code)


async def test_a_thousand_parts_are_signed_at_once_and_not_one_more(api: Api, model: str) -> None:
    artifacts = [{"path": "huge", "size": 1000 * GIB, "sha256": ZEROS}]
    await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts}, status=201)
    parts = [{"number": number, "sha256": ZEROS} for number in range(1, 1001)]
    path = f"/{model}/versions/1/upload/parts"
    signed = await api.ask("POST", path, {"path": "huge", "parts": parts})
    assert [part["number"] for part in signed["parts"]] == list(range(1, 1001))
    await api.problem("POST", path, {"path": "huge", "parts": [*parts, parts[0]]}, status=422, code="invalid_request")


# -- complete


async def test_an_incomplete_upload_is_refused_with_the_list_of_what_is_missing(api: Api, model: str) -> None:
    files = {"a": b"1", "b": b"2", "c": b"3"}
    begun = await api.begin(model, files)
    await api.send(begun["artifacts"][1]["upload"], files["b"])
    refused = await api.problem("POST", f"/{model}/versions/1/complete", status=409, code="upload_incomplete")
    assert refused["missing"] == [{"path": "a"}, {"path": "c"}]
    assert (refused["model"], refused["version"]) == (model, 1)
    assert await api.generation(model) == 1
    await api.problem("GET", f"/{model}/versions/1", status=404, code="version_not_found")


@pytest.mark.parametrize(
    ("content", "code", "fields"),
    [
        (b"WEIGHTS", "checksum_mismatch", {"path": "model.pt"}),
        (b"weights and more", "size_mismatch", {"path": "model.pt", "declared": 7, "stored": 16}),
    ],
)
async def test_bytes_that_came_another_way_do_not_pass(
    api: Api, settings: Settings, model: str, content: bytes, code: str, fields: dict[str, Any]
) -> None:
    await api.begin(model, {"model.pt": b"weights"})
    async with open_storage(settings) as (_, store):
        elsewhere = await store.presign_put(
            object_key(model, 1, "model.pt"),
            size=len(content),
            sha256=Digest(sha256(content)),
            ttl=timedelta(minutes=5),
        )
    signed = {"method": elsewhere.method, "url": elsewhere.url, "headers": elsewhere.headers}
    assert (await api.send(signed, content)).status_code == 200
    refused = await api.problem("POST", f"/{model}/versions/1/complete", status=422, code=code)
    assert refused == refused | fields
    assert await api.generation(model) == 1
    await api.problem("GET", f"/{model}/versions/1", status=404, code="version_not_found")


async def test_parts_that_make_other_bytes_do_not_pass_where_the_store_knows_the_whole(
    api: Api, settings: Settings, small_parts: None, model: str
) -> None:
    """S3 keeps a checksum of the parts' checksums only, each of which the caller gave and S3 confirmed."""
    content = b"x" * (PART + 1)
    artifacts = [{"path": "weights.bin", "size": len(content), "sha256": sha256(b"other bytes")}]
    begun = await api.ask("POST", f"/{model}/versions", {"artifacts": artifacts, "multipart": True}, status=201)
    await api.upload(begun, {"weights.bin": content})
    if settings.backend == "local":
        await api.problem("POST", f"/{model}/versions/1/complete", status=422, code="checksum_mismatch")
        assert await api.generation(model) == 1
    else:
        await api.complete(model, 1)
        assert await api.fetch(model, "1") == {"weights.bin": content}


async def test_completing_never_writes_over_what_another_program_put_there(
    api: Api, settings: Settings, model: str
) -> None:
    files = {"model.pt": b"weights"}
    await api.upload(await api.begin(model, files), files)
    theirs = version_to_item(version(1, model=model, description="theirs"))
    async with open_storage(settings) as (table, _):
        await table.transact([Put(theirs, Absent())], request_token=operation().id)
        await api.problem("POST", f"/{model}/versions/1/complete", status=409, code="version_conflict")
        assert (await api.ask("GET", f"/{model}/versions/1"))["description"] == "theirs"


async def test_completing_again_answers_the_same(api: Api, model: str) -> None:
    await api.register(model)
    generation = await api.generation(model)
    first = await api.ask("GET", f"/{model}/versions/1")
    once = {"idempotency-key": "complete-1"}
    assert await api.complete(model, 1) == first
    assert await api.ask("POST", f"/{model}/versions/1/complete", headers=once) == first
    assert await api.generation(model) == generation


async def test_completing_under_a_key_takes_effect_once(api: Api, model: str) -> None:
    files = {"model.pt": b"weights"}
    await api.upload(await api.begin(model, files), files)
    once = {"idempotency-key": "complete-1"}
    answers = await asyncio.gather(
        *(api.ask("POST", f"/{model}/versions/1/complete", headers=once) for _ in range(5)),
        *(api.complete(model, 1) for _ in range(5)),
    )
    assert all(answer == answers[0] for answer in answers)
    assert [event["type"] for event in await api.events(model)] == ["upload_begun", "version_completed"]
    await api.problem(
        "POST", f"/{model}/versions/1/complete", {}, headers=once, status=422, code="idempotency_key_reused"
    )


# -- abandon


async def test_an_abandoned_upload_is_gone_and_its_number_spent(api: Api, model: str) -> None:
    begun = await api.begin(model, {"model.pt": b"weights"})
    await api.ask("DELETE", f"/{model}/versions/1/upload", status=204)
    await api.send(begun["artifacts"][0]["upload"], b"weights")
    for method, path, body in [
        ("GET", "upload", None),
        ("DELETE", "upload", None),
        ("POST", "complete", None),
        ("POST", "upload/parts", {"path": "model.pt", "parts": [{"number": 1, "sha256": ZEROS}]}),
    ]:
        refused = await api.problem(method, f"/{model}/versions/1/{path}", body, status=404, code="upload_not_found")
        assert (refused["model"], refused["version"]) == (model, 1)
    await api.problem("GET", f"/{model}/versions/1", status=404, code="version_not_found")
    assert await api.generation(model) == 2
    assert await api.register(model) == 2


async def test_a_part_of_an_abandoned_upload_has_nowhere_to_go(api: Api, small_parts: None, model: str) -> None:
    begun = await api.begin(model, {"weights.bin": b"x"}, multipart=True)
    body = {"path": "weights.bin", "parts": [{"number": 1, "sha256": sha256(b"x")}]}
    signed = await api.ask("POST", f"/{model}/versions/{begun['version']}/upload/parts", body)
    await api.ask("DELETE", f"/{model}/versions/1/upload", status=204)
    assert (await api.send(signed["parts"][0], b"x")).status_code == 404


async def test_a_complete_version_is_not_abandoned(api: Api, model: str) -> None:
    await api.register(model)
    await api.problem("DELETE", f"/{model}/versions/1/upload", status=404, code="upload_not_found")
    assert (await api.ask("GET", f"/{model}/versions/1"))["version"] == 1


async def test_nothing_is_abandoned_of_a_model_that_does_not_exist(api: Api, model: str) -> None:
    refused = await api.problem("DELETE", f"/{model}/versions/1/upload", status=404, code="model_not_found")
    assert refused["model"] == model


async def test_abandoning_under_a_key_can_be_repeated(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b"weights"})
    once = {"idempotency-key": "abandon-1"}
    for _ in range(2):
        await api.ask("DELETE", f"/{model}/versions/1/upload", status=204, headers=once)
    await api.problem(
        "DELETE", f"/{model}/versions/1/upload", {}, headers=once, status=422, code="idempotency_key_reused"
    )
    assert await api.generation(model) == 2


async def test_a_key_holds_for_the_very_bytes_of_a_body(api: Api, model: str) -> None:
    body = {"artifacts": declare({"model.pt": b""})}
    headers = {"idempotency-key": "run-1", "content-type": "application/json"}
    path = f"/v1/models/{model}/versions"
    assert (await api.http.post(path, content=json.dumps(body), headers=headers)).status_code == 201
    assert (await api.http.post(path, content=json.dumps(body), headers=headers)).status_code == 201
    assert (await api.http.post(path, content=json.dumps(body, indent=1), headers=headers)).status_code == 422


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        ({"model.pt": b"1"}, "pytorch"),
        ({"model.onnx": b"1"}, "onnx"),
        ({"model.safetensors": b"1", "config.json": b"{}"}, "transformers"),
        ({"a.bin": b"1", "b.bin": b"2"}, "unknown"),
    ],
)
async def test_a_framework_that_is_not_given_is_inferred_and_said(
    api: Api, model: str, files: dict[str, bytes], framework: str
) -> None:
    await api.register(model, files)
    await api.register(model, files, framework="jax")
    for ref, expected in {"1": (framework, True), "2": ("jax", False)}.items():
        found = await api.ask("GET", f"/{model}/versions/{ref}")
        assert (found["framework"], found["framework_inferred"]) == expected
