"""Complete versions: what they say, by which refs they are found, how they are edited, deleted and restored."""

import asyncio
import re
from typing import Any

import pytest

from modelkeep.settings import Settings
from tests.support.api import ARCHIVED, OPEN, PRODUCTION, STAGING, TRASHED, Api, Shelf, check_problem, sha256

FIELDS = {
    "model",
    "version",
    "commit",
    "stage",
    "aliases",
    "s3_path",
    "framework",
    "framework_inferred",
    "metrics",
    "description",
    "tags",
    "run_id",
    "source",
    "artifacts",
    "empty_folders",
    "size",
    "created_at",
    "created_by",
    "stage_changed_at",
    "stage_changed_by",
}


async def test_a_version_says_all_that_was_registered(api: Api, model: str) -> None:
    files = {"model.pt": b"weights", "config/b.json": b"{}", "config/a.json": b""}
    await api.register(
        model,
        files,
        framework="onnx",
        metrics={"f1": 0.941},
        description="Retrained\non Jan data — ü",
        tags={"git_commit": "1f3e", "empty": ""},
        run_id="8841",
        source="mlflow-artifacts:/7/8841/artifacts/model",
    )
    found = await api.ask("GET", f"/{model}/versions/1")
    assert found.keys() == FIELDS
    assert found == found | {
        "model": model,
        "version": 1,
        "stage": "staging",
        "aliases": [],
        "framework": "onnx",
        "metrics": {"f1": 0.941},
        "description": "Retrained\non Jan data — ü",
        "tags": {"git_commit": "1f3e", "empty": ""},
        "run_id": "8841",
        "source": "mlflow-artifacts:/7/8841/artifacts/model",
        "size": 9,
        "created_by": "anonymous",
        "stage_changed_by": "anonymous",
    }
    assert found["artifacts"] == [
        {"path": path, "size": len(files[path]), "sha256": sha256(files[path]), "executable": False}
        for path in sorted(files)
    ]
    assert re.fullmatch(r"[0-9a-f]{32}00000001", found["commit"])
    assert found["created_at"] == found["stage_changed_at"]
    assert found["created_at"].endswith("Z")


async def test_fields_that_are_not_sent_are_empty(api: Api, model: str) -> None:
    await api.register(model)
    found = await api.ask("GET", f"/{model}/versions/1")
    assert (found["framework"], found["metrics"], found["description"], found["tags"]) == ("pytorch", {}, "", {})
    assert (found["run_id"], found["source"]) == (None, None)


async def test_the_path_names_the_artifact_if_there_is_one_and_the_folder_if_there_are_several(
    api: Api, settings: Settings, model: str
) -> None:
    await api.register(model, {"config/model.pt": b"1"})
    await api.register(model, {"model.pt": b"1", "config.json": b"2"})
    base = f"s3://{settings.bucket}" if settings.backend == "aws" else (settings.data_dir / "objects").as_uri()
    paths = [(await api.ask("GET", f"/{model}/versions/{number}"))["s3_path"] for number in (1, 2)]
    assert paths == [f"{base}/models/{model}/v1/config/model.pt", f"{base}/models/{model}/v2/"]


async def test_metrics_come_back_as_the_very_floats_that_were_sent(api: Api, model: str) -> None:
    metrics = {
        "tenth": 0.1,
        "sum": 0.1 + 0.2,
        "third": 1 / 3,
        "tiny": 1e-7,
        "least": 1e-130,
        "most": 9.99e125,
        "negative": -2.5,
        "zero": 0,
        "whole": 3,
        "big": 2**53,
        "precise": 0.30000000000000004,
    }
    await api.register(model, metrics=metrics)
    assert (await api.ask("GET", f"/{model}/versions/1"))["metrics"] == metrics
    edited = await api.ask("PATCH", f"/{model}/versions/1", {"metrics": {"later": 1e23}})
    assert edited["metrics"] == metrics | {"later": 1e23}
    assert (await api.ask("GET", f"/{model}/versions"))["items"] == [edited]


# -- edit


async def test_an_edit_merges_and_null_removes(api: Api, model: str) -> None:
    await api.register(model, metrics={"f1": 0.9, "loss": 0.1}, tags={"run": "1", "team": "risk"}, description="old")
    body = {"metrics": {"loss": None, "auc": 0.99}, "tags": {"run": None, "owner": "ml"}, "description": "new"}
    edited = await api.ask("PATCH", f"/{model}/versions/1", body)
    assert edited == await api.ask("GET", f"/{model}/versions/1")
    assert edited["metrics"] == {"f1": 0.9, "auc": 0.99}
    assert edited["tags"] == {"team": "risk", "owner": "ml"}
    assert edited["description"] == "new"
    assert (await api.ask("PATCH", f"/{model}/versions/1", {"description": None}))["description"] == ""
    assert [event["type"] for event in await api.events(model, after=2)] == ["version_edited"] * 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"description": "old"},
        {"metrics": {}, "tags": {}},
        {"metrics": None, "tags": None},
        {"metrics": {"f1": 0.9, "absent": None}},
        {"tags": {"run": "1", "absent": None}},
    ],
)
async def test_an_edit_that_changes_nothing_writes_nothing(api: Api, model: str, body: Any) -> None:
    await api.register(model, metrics={"f1": 0.9}, tags={"run": "1"}, description="old")
    before, generation = await api.ask("GET", f"/{model}/versions/1"), await api.generation(model)
    assert await api.ask("PATCH", f"/{model}/versions/1", body) == before
    assert await api.generation(model) == generation


async def test_an_edit_changes_nothing_that_was_fixed_at_completion(api: Api, model: str) -> None:
    await api.register(model)
    before = await api.ask("GET", f"/{model}/versions/1")
    after = await api.ask("PATCH", f"/{model}/versions/1", {"metrics": {"f1": 1}})
    assert after == before | {"metrics": {"f1": 1}}
    for field in FIELDS - {"metrics", "description", "tags"}:
        body = {field: before[field]}
        await api.problem("PATCH", f"/{model}/versions/1", body, status=422, code="invalid_request")


@pytest.mark.parametrize(("what", "limit"), [("metrics", 200), ("tags", 64)])
async def test_a_version_keeps_at_most_so_many(api: Api, model: str, what: str, limit: int) -> None:
    values: dict[str, Any] = {f"name-{number}": 1.0 if what == "metrics" else "x" for number in range(limit)}
    await api.register(model, **{what: values})
    generation = await api.generation(model)
    one_more = {what: {"another": values["name-0"]}}
    refused = await api.problem("PATCH", f"/{model}/versions/1", one_more, status=413, code="metadata_too_large")
    assert (refused["what"], refused["size"], refused["limit"]) == (what, limit + 1, limit)
    assert await api.generation(model) == generation


async def test_an_edit_under_a_key_takes_effect_once(api: Api, model: str) -> None:
    await api.register(model)
    once = {"idempotency-key": "edit-1"}
    path = f"/{model}/versions/1"
    await api.ask("PATCH", path, {"tags": {"a": "1"}}, headers=once)
    after = await api.ask("PATCH", path, {"tags": {"a": "2"}})
    assert await api.ask("PATCH", path, {"tags": {"a": "1"}}, headers=once) == after
    await api.problem("PATCH", path, {"tags": {}}, headers=once, status=422, code="idempotency_key_reused")
    assert await api.ask("GET", path) == after


async def test_concurrent_edits_all_count(api: Api, model: str) -> None:
    await api.register(model)
    generation = await api.generation(model)
    await asyncio.gather(
        *(api.ask("PATCH", f"/{model}/versions/1", {"tags": {f"tag-{number}": "x"}}) for number in range(10))
    )
    assert len((await api.ask("GET", f"/{model}/versions/1"))["tags"]) == 10
    assert await api.generation(model) == generation + 10


# -- refs


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        (str(ARCHIVED), ARCHIVED),
        (f"v{STAGING}", STAGING),
        ("latest", STAGING),
        ("production", PRODUCTION),
        ("staging", STAGING),
        ("champion", PRODUCTION),
    ],
)
async def test_a_ref_names_a_version(api: Api, shelf: Shelf, ref: str, number: int) -> None:
    found = await api.ask("GET", f"/{shelf.model}/versions/{ref}")
    assert found["version"] == number
    assert await api.ask("GET", f"/{shelf.model}/versions/{found['commit']}") == found
    assert found["aliases"] == (["champion"] if number == PRODUCTION else [])


async def test_a_commit_names_one_version_of_one_model(api: Api, shelf: Shelf, model: str) -> None:
    await api.register(model)
    commit = (await api.ask("GET", f"/{shelf.model}/versions/1"))["commit"]
    flipped = f"{'1' if commit[0] == '0' else '0'}{commit[1:]}"
    for wrong in (flipped, f"{commit[:32]}00000002", f"{commit[:32]}00000000", f"{commit[:32]}ffffffff"):
        refused = await api.problem("GET", f"/{shelf.model}/versions/{wrong}", status=404, code="version_not_found")
        assert (refused["model"], refused["ref"]) == (shelf.model, wrong)
    await api.problem("GET", f"/{model}/versions/{commit}", status=404, code="version_not_found")
    await api.problem("GET", f"/{model}/versions/{commit}/download", status=404, code="version_not_found")


@pytest.mark.parametrize(
    "ref",
    [str(TRASHED), f"v{OPEN}", str(OPEN), "7", "4294967295", "unknown", "canary", "eu-prod", "champion2", "0" * 40],
)
async def test_a_ref_that_names_nothing_is_not_found(api: Api, shelf: Shelf, ref: str) -> None:
    await api.problem("GET", f"/{shelf.model}/versions/{ref}", status=404, code="version_not_found")
    await api.problem("GET", f"/{shelf.model}/versions/{ref}/download", status=404, code="version_not_found")
    await api.problem("GET", f"/{shelf.model}/versions/{ref}/artifacts/x", status=404, code="version_not_found")


@pytest.mark.parametrize(
    "ref",
    ["archived", "none", "main", "0", "v0", "01", "v01", "-1", "1.0", "4294967296", "9" * 400, "Production", "a" * 65,
     "A" * 40, "@", "1 ", "V1", "*"],
)  # fmt: skip
async def test_what_is_no_ref_is_refused(api: Api, shelf: Shelf, ref: str) -> None:
    for path in ("", "/download", "/artifacts/model.pt"):
        await api.problem("GET", f"/{shelf.model}/versions/{ref}{path}", status=422, code="invalid_request")


async def test_only_a_number_names_what_is_to_be_changed(api: Api, shelf: Shelf) -> None:
    for ref in ("latest", "v1", "champion", "0", "01", "4294967296", "1.0", "+1"):
        for method, path, body in [
            ("PATCH", "", {}),
            ("DELETE", "", None),
            ("POST", "/restore", None),
            ("POST", "/complete", None),
            ("GET", "/upload", None),
            ("DELETE", "/upload", None),
            ("PUT", "/stage", {"stage": "staging"}),
        ]:
            address = f"/{shelf.model}/versions/{ref}{path}"
            await api.problem(method, address, body, status=422, code="invalid_request")


async def test_stages_as_refs_follow_the_versions(api: Api, model: str) -> None:
    await api.register(model)
    for ref in ("production", "champion"):
        await api.problem("GET", f"/{model}/versions/{ref}", status=404, code="version_not_found")
    await api.register(model)
    await api.ask("PUT", f"/{model}/versions/2/stage", {"stage": "archived"})
    assert (await api.ask("GET", f"/{model}/versions/staging"))["version"] == 1
    assert (await api.ask("GET", f"/{model}/versions/latest"))["version"] == 2
    await api.ask("PUT", f"/{model}/versions/1/stage", {"stage": "production"})
    await api.problem("GET", f"/{model}/versions/staging", status=404, code="version_not_found")


# -- lists


async def test_versions_are_listed_newest_first_in_pages_without_gap_or_repeat(api: Api, model: str) -> None:
    await asyncio.gather(*(api.register(model) for _ in range(7)))
    for number in (2, 3, 5):
        await api.ask("PUT", f"/{model}/versions/{number}/stage", {"stage": "archived"})
    await api.promote(model, 4)

    async def numbers(limit: int, **query: Any) -> list[int]:
        return [item["version"] async for item in api.walk(f"/{model}/versions", limit=limit, **query)]

    for limit in (1, 2, 3, 7, 100):
        assert await numbers(limit) == [7, 6, 5, 4, 3, 2, 1]
        assert await numbers(limit, stage="archived") == [5, 3, 2]
        assert await numbers(limit, stage="staging") == [7, 6, 1]
        assert await numbers(limit, stage="production") == [4]
    items = (await api.ask("GET", f"/{model}/versions?limit=1"))["items"]
    assert items == [await api.ask("GET", f"/{model}/versions/7")]


async def test_a_model_without_complete_versions_lists_none(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    assert await api.ask("GET", f"/{model}/versions") == {"items": [], "next_cursor": None}


async def test_every_bit_of_a_cursor_matters(api: Api, shelf: Shelf) -> None:
    flips = [
        shelf.cursor[:place] + chr(ord(character) ^ 1 << bit) + shelf.cursor[place + 1 :]
        for place, character in enumerate(shelf.cursor)
        for bit in range(8)
    ]
    answers = await asyncio.gather(
        *(api.http.get(f"/v1/models/{shelf.model}/versions", params={"cursor": flip}) for flip in flips)
    )
    for answer in answers:
        check_problem(answer, 400, "invalid_cursor")


async def test_a_cursor_of_another_list_is_refused(api: Api, shelf: Shelf, model: str) -> None:
    await api.register(model)
    for path in (
        f"/{shelf.model}/versions?stage=staging&",
        f"/{shelf.model}/events?",
        f"/{model}/versions?",
        "?",
    ):
        await api.problem("GET", f"{path}cursor={shelf.cursor}", status=400, code="invalid_cursor")
    await api.ask("GET", f"/{shelf.model}/versions?cursor={shelf.cursor}")


# -- delete and restore


async def test_a_version_in_use_is_not_deleted(api: Api, model: str) -> None:
    await api.register(model)
    await api.promote(model, 1)
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    generation = await api.generation(model)
    refused = await api.problem("DELETE", f"/{model}/versions/1", status=409, code="version_in_use")
    assert refused == refused | {"model": model, "version": 1, "stage": "production", "aliases": ["champion"]}
    assert await api.generation(model) == generation
    await api.ask("PUT", f"/{model}/versions/1/stage", {"stage": "staging"})
    refused = await api.problem("DELETE", f"/{model}/versions/1", status=409, code="version_in_use")
    assert (refused["stage"], refused["aliases"]) == ("staging", ["champion"])
    await api.ask("DELETE", f"/{model}/aliases/champion", status=204)
    await api.ask("DELETE", f"/{model}/versions/1", status=204)


async def test_a_deleted_version_is_nowhere_and_comes_back_as_it_was(api: Api, model: str) -> None:
    files = {"model.pt": b"first"}
    await api.register(model, files, metrics={"f1": 0.1}, tags={"a": "b"})
    await api.register(model)
    await api.ask("PUT", f"/{model}/versions/1/stage", {"stage": "archived"})
    before = await api.ask("GET", f"/{model}/versions/1")
    await api.ask("DELETE", f"/{model}/versions/1", status=204)

    for ref in ("1", "v1", before["commit"]):
        await api.problem("GET", f"/{model}/versions/{ref}", status=404, code="version_not_found")
    assert [item["version"] async for item in api.walk(f"/{model}/versions")] == [2]
    for method, path, body in [
        ("DELETE", "", None),
        ("PATCH", "", {"description": "x"}),
        ("PUT", "/stage", {"stage": "production"}),
    ]:
        await api.problem(method, f"/{model}/versions/1{path}", body, status=404, code="version_not_found")
    await api.problem("PUT", f"/{model}/aliases/a", {"version": 1}, status=404, code="version_not_found")
    await api.problem("POST", f"/{model}/versions/1/complete", status=404, code="upload_not_found")

    assert await api.ask("POST", f"/{model}/versions/1/restore") == before
    assert await api.ask("GET", f"/{model}/versions/1") == before
    assert await api.fetch(model, "1") == files
    problem = await api.problem("POST", f"/{model}/versions/1/restore", status=409, code="version_not_deleted")
    assert (problem["version"], problem["stage"]) == (1, before["stage"])
    assert f"version 1 is not deleted: it is in stage {before['stage']}. " in problem["detail"]


async def test_latest_is_the_highest_number_that_is_there(api: Api, model: str) -> None:
    for _ in range(3):
        await api.register(model)
    await api.ask("DELETE", f"/{model}/versions/3", status=204)
    assert (await api.model(model))["latest_version"] == 2
    await api.ask("DELETE", f"/{model}/versions/1", status=204)
    assert (await api.model(model))["latest_version"] == 2
    await api.ask("DELETE", f"/{model}/versions/2", status=204)
    assert (await api.model(model))["latest_version"] is None
    await api.problem("GET", f"/{model}/versions/latest", status=404, code="version_not_found")
    await api.ask("POST", f"/{model}/versions/2/restore")
    await api.ask("POST", f"/{model}/versions/1/restore")
    assert (await api.model(model))["latest_version"] == 2


async def test_a_number_is_never_given_twice(api: Api, model: str) -> None:
    assert await api.register(model) == 1
    await api.ask("DELETE", f"/{model}/versions/1", status=204)
    assert await api.register(model) == 2
    await api.begin(model, {"model.pt": b""})
    await api.ask("DELETE", f"/{model}/versions/3/upload", status=204)
    await api.ask("DELETE", f"/{model}", status=204)
    assert await api.register(model) == 4


async def test_deleting_and_restoring_under_a_key_take_effect_once(api: Api, model: str) -> None:
    await api.register(model)
    delete, restore = {"idempotency-key": "delete-1"}, {"idempotency-key": "restore-1"}
    path = f"/{model}/versions/1"
    await api.ask("DELETE", path, status=204, headers=delete)
    await api.ask("DELETE", path, status=204, headers=delete)
    found = await api.ask("POST", f"{path}/restore", headers=restore)
    await api.ask("DELETE", path, status=204, headers=delete)
    assert await api.ask("POST", f"{path}/restore", headers=restore) == found
    for method, address, key in [("DELETE", path, delete), ("POST", f"{path}/restore", restore)]:
        await api.problem(method, address, {}, headers=key, status=422, code="idempotency_key_reused")
    assert await api.generation(model) == 4
