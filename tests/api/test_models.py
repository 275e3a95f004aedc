"""Models as a whole: made by their first version, listed, edited, deleted, and revived."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Api, check_problem

FIELDS = {
    "model",
    "description",
    "tags",
    "latest_version",
    "production_version",
    "aliases",
    "generation",
    "created_at",
    "updated_at",
}


async def names(api: Api, prefix: str) -> list[str]:
    return [item["model"] async for item in api.walk("", prefix=prefix)]


async def test_the_first_registration_creates_the_model(api: Api, model: str) -> None:
    await api.problem("GET", f"/{model}", status=404, code="model_not_found")
    await api.begin(model, {"model.pt": b"weights"})
    found = await api.model(model)
    assert found.keys() == FIELDS
    assert found == found | {
        "model": model,
        "description": "",
        "tags": {},
        "latest_version": None,
        "production_version": None,
        "aliases": {},
        "generation": 1,
    }
    assert found["created_at"] == found["updated_at"]
    assert found["created_at"].endswith("Z")


async def test_a_model_is_created_without_versions_and_once(api: Api, model: str) -> None:
    said = {"description": "Fraud", "tags": {"team": "risk"}}
    created = await api.ask("PUT", f"/{model}", said, status=201)
    assert created == await api.model(model)
    assert created == created | {**said, "latest_version": None, "production_version": None, "generation": 1}
    assert await api.ask("PUT", f"/{model}", {"description": "other"}) == created
    assert await api.ask("PUT", f"/{model}") == created
    assert [(event["type"], event["version"]) for event in await api.events(model)] == [("model_created", None)]
    assert await names(api, model) == [model]


async def test_a_model_without_versions_is_read_edited_filled_and_deleted(api: Api, model: str) -> None:
    await api.ask("PUT", f"/{model}", status=201)
    for items in ("/versions", "/uploads", "/versions?sort=created_at", "/versions?alias=*"):
        assert (await api.ask("GET", f"/{model}{items}"))["items"] == []
    for path in ("production", "latest", "staging", "1", "champion", "production/download", "1/artifacts/model.pt"):
        await api.problem("GET", f"/{model}/versions/{path}", status=404, code="version_not_found")
    await api.problem("PUT", f"/{model}/aliases/champion", {"version": 1}, status=404, code="version_not_found")
    await api.problem(
        "POST", f"/{model}/rollback", {"expected_production": None}, status=409, code="no_earlier_production"
    )
    assert (await api.ask("PATCH", f"/{model}", {"description": "edited"}))["description"] == "edited"
    assert await api.register(model) == 1
    await api.promote(model, 1)
    assert (await api.ask("GET", f"/{model}/versions/production"))["version"] == 1

    empty = f"{model}-2"
    await api.ask("PUT", f"/{empty}", {"tags": {"a": "b"}}, status=201)
    await api.ask("DELETE", f"/{empty}", status=204)
    await api.problem("GET", f"/{empty}", status=404, code="model_not_found")
    assert [event["type"] for event in await api.events(empty)] == ["model_created", "model_deleted"]
    revived = await api.ask("PUT", f"/{empty}", {"description": "again"}, status=201)
    assert (revived["description"], revived["tags"], revived["generation"]) == ("again", {}, 3)


async def test_of_many_that_create_a_model_at_once_one_is_told_that_it_is_new(api: Api, model: str) -> None:
    answers = await asyncio.gather(
        *(api.request("PUT", f"/models/{model}", json={"description": str(n)}) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    (new,) = [answer.json() for answer in answers if answer.status_code == 201]
    assert [answer.json() for answer in answers] == [new] * 8
    assert len(await api.events(model)) == 1


async def test_a_creation_repeated_under_its_key_finds_the_model_there(api: Api, model: str) -> None:
    once = {"idempotency-key": "create-1"}
    first = await api.ask("PUT", f"/{model}", {"description": "one"}, status=201, headers=once)
    assert await api.ask("PUT", f"/{model}", {"description": "one"}, headers=once) == first
    await api.problem(
        "PUT", f"/{model}", {"description": "two"}, headers=once, status=422, code="idempotency_key_reused"
    )
    await api.ask("DELETE", f"/{model}", status=204)
    await api.problem("PUT", f"/{model}", {"description": "one"}, headers=once, status=404, code="model_not_found")


async def test_a_model_names_its_latest_and_production_versions_and_its_aliases(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    await api.promote(model, 1)
    await api.ask("PUT", f"/{model}/aliases/eu-prod", {"version": 1})
    await api.ask("PUT", f"/{model}/aliases/canary", {"version": 2})
    found = await api.model(model)
    assert (found["latest_version"], found["production_version"]) == (2, 1)
    assert list(found["aliases"].items()) == [("canary", 2), ("eu-prod", 1)]
    assert found["updated_at"] > found["created_at"]
    assert [item async for item in api.walk("", prefix=model)] == [found]


async def test_models_are_listed_by_name_in_pages_without_gap_or_repeat(api: Api) -> None:
    prefix = f"listed-{uuid4().hex[:8]}"
    made = [f"{prefix}{tail}" for tail in ["", "-a", "-b", ".c", "0", "Z", "_d"]]
    await asyncio.gather(*(api.begin(name, {"model.pt": b""}) for name in made))
    for limit in (1, 2, 3, 100):
        assert [item["model"] async for item in api.walk("", limit=limit, prefix=prefix)] == sorted(made)
    assert await names(api, f"{prefix}-") == [f"{prefix}-a", f"{prefix}-b"]
    assert await names(api, f"{prefix}-nothing") == []


async def test_a_page_has_fifty_models_by_default(api: Api) -> None:
    prefix = f"fifty-{uuid4().hex[:8]}"
    await asyncio.gather(*(api.begin(f"{prefix}-{number}", {"model.pt": b""}) for number in range(51)))
    page = await api.ask("GET", f"?prefix={prefix}")
    assert len(page["items"]) == 50
    rest = await api.ask("GET", f"?prefix={prefix}&cursor={page['next_cursor']}")
    assert len(rest["items"]) == 1
    assert rest["next_cursor"] is None


async def test_every_bit_of_a_cursor_matters(api: Api) -> None:
    prefix = f"cur-{uuid4().hex[:4]}"
    await asyncio.gather(*(api.begin(f"{prefix}-{number}", {"model.pt": b""}) for number in range(2)))
    cursor = (await api.ask("GET", f"?prefix={prefix}&limit=1"))["next_cursor"]
    for place, character in enumerate(cursor):
        for bit in range(8):
            flipped = cursor[:place] + chr(ord(character) ^ 1 << bit) + cursor[place + 1 :]
            answer = await api.http.get("/v1/models", params={"prefix": prefix, "cursor": flipped})
            check_problem(answer, 400, "invalid_cursor")
    await api.problem("GET", f"?prefix={prefix}-&cursor={cursor}", status=400, code="invalid_cursor")
    await api.problem("GET", f"?cursor={cursor}", status=400, code="invalid_cursor")
    await api.problem("GET", "?cursor=", status=400, code="invalid_cursor")


async def test_an_edit_merges_tags_and_null_removes(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    await api.ask("PATCH", f"/{model}", {"description": "Fraud", "tags": {"team": "risk", "tier": "1"}})
    edited = await api.ask("PATCH", f"/{model}", {"tags": {"tier": None, "owner": "", "absent": None}})
    assert edited == await api.model(model)
    assert (edited["description"], edited["tags"]) == ("Fraud", {"team": "risk", "owner": ""})
    assert (await api.ask("PATCH", f"/{model}", {"description": None}))["description"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"description": "Fraud"},
        {"tags": {}},
        {"tags": None},
        {"tags": {"team": "risk"}},
        {"tags": {"absent": None}},
    ],
)
async def test_an_edit_that_changes_nothing_writes_nothing(api: Api, model: str, body: Any) -> None:
    await api.begin(model, {"model.pt": b""})
    before = await api.ask("PATCH", f"/{model}", {"description": "Fraud", "tags": {"team": "risk"}})
    assert await api.ask("PATCH", f"/{model}", body) == before
    assert await api.model(model) == before


async def test_a_model_keeps_at_most_64_tags(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    before = await api.ask("PATCH", f"/{model}", {"tags": {f"tag-{number}": "x" for number in range(64)}})
    refused = await api.problem("PATCH", f"/{model}", {"tags": {"another": "x"}}, status=413, code="metadata_too_large")
    assert (refused["what"], refused["size"], refused["limit"]) == ("tags", 65, 64)
    assert await api.model(model) == before
    swapped = await api.ask("PATCH", f"/{model}", {"tags": {"another": "x", "tag-0": None}})
    assert len(swapped["tags"]) == 64


async def test_an_edit_under_a_key_takes_effect_once(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    once = {"idempotency-key": "edit-1"}
    await api.ask("PATCH", f"/{model}", {"description": "one"}, headers=once)
    await api.ask("PATCH", f"/{model}", {"description": "two"})
    before = await api.model(model)
    assert await api.ask("PATCH", f"/{model}", {"description": "one"}, headers=once) == before
    await api.problem(
        "PATCH", f"/{model}", {"description": "three"}, headers=once, status=422, code="idempotency_key_reused"
    )
    assert await api.model(model) == before


async def test_a_model_in_use_is_not_deleted(api: Api, model: str) -> None:
    await api.register(model)
    await api.promote(model, 1)
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    before = await api.model(model)
    refused = await api.problem("DELETE", f"/{model}", status=409, code="model_not_empty")
    assert (refused["production_version"], refused["aliases"]) == (1, ["champion"])
    await api.ask("PUT", f"/{model}/versions/1/stage", {"stage": "archived"})
    refused = await api.problem("DELETE", f"/{model}", status=409, code="model_not_empty")
    assert (refused["production_version"], refused["aliases"]) == (None, ["champion"])
    assert await api.generation(model) == before["generation"] + 1
    await api.ask("DELETE", f"/{model}/aliases/champion", status=204)
    await api.ask("DELETE", f"/{model}", status=204)


async def test_a_deleted_model_is_gone_and_keeps_its_history(api: Api, model: str) -> None:
    await api.register(model)
    await api.begin(model, {"model.pt": b"never sent"})
    generation = await api.generation(model)
    await api.ask("DELETE", f"/{model}", status=204)

    assert await names(api, model) == []
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("GET", "/versions", None),
        ("GET", "/versions/latest", None),
        ("GET", "/versions/1/download", None),
        ("PATCH", "/versions/1", {}),
        ("PUT", "/versions/1/stage", {"stage": "production"}),
        ("PUT", "/aliases/champion", {"version": 1}),
    ]:
        await api.problem(method, f"/{model}{path}", body, status=404, code="model_not_found")
    await api.problem("GET", f"/{model}/versions/2/upload", status=404, code="upload_not_found")

    events = await api.events(model, after=generation)
    assert [(event["type"], event["version"]) for event in events] == [
        ("model_deleted", None),
        ("version_deleted", 1),
        ("upload_abandoned", 2),
    ]


async def test_registering_again_revives_a_deleted_model_fresh_and_goes_on_counting(api: Api, model: str) -> None:
    await api.register(model)
    await api.ask("PATCH", f"/{model}", {"description": "old", "tags": {"team": "risk"}})
    before = await api.model(model)
    await api.ask("DELETE", f"/{model}", status=204)
    assert (await api.begin(model, {"model.pt": b"new"}))["version"] == 2
    revived = await api.model(model)
    assert (revived["description"], revived["tags"], revived["latest_version"]) == ("", {}, None)
    assert revived["generation"] > before["generation"]
    await api.problem("GET", f"/{model}/versions/1", status=404, code="version_not_found")


async def test_restoring_a_version_brings_a_deleted_model_back(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    await api.ask("DELETE", f"/{model}", status=204)
    await api.ask("POST", f"/{model}/versions/1/restore")
    assert (await api.model(model))["latest_version"] == 1
    assert await names(api, model) == [model]
    await api.problem("GET", f"/{model}/versions/2", status=404, code="version_not_found")


async def test_a_deletion_repeated_under_its_key_does_not_delete_what_came_after(api: Api, model: str) -> None:
    once = {"idempotency-key": "delete-1"}
    await api.register(model)
    await api.ask("DELETE", f"/{model}", status=204, headers=once)
    await api.ask("DELETE", f"/{model}", status=204, headers=once)
    await api.register(model)
    before = await api.model(model)
    await api.ask("DELETE", f"/{model}", status=204, headers=once)
    await api.problem("DELETE", f"/{model}", {"x": 1}, headers=once, status=422, code="idempotency_key_reused")
    assert await api.model(model) == before


async def test_a_model_of_seventy_versions_is_deleted_in_one_request_and_several_steps(api: Api, model: str) -> None:
    files = {"model.pt": b"the same"}
    await asyncio.gather(*(api.register(model, files) for _ in range(70)))
    await api.begin(model, files)
    generation = await api.generation(model)
    await api.ask("DELETE", f"/{model}", status=204)

    events = await api.events(model)
    assert [event["generation"] for event in events] == list(range(1, len(events) + 1))
    new = events[generation:]
    assert [event["type"] for event in new].count("model_deleted") == 1
    assert {event["version"] for event in new if event["type"] == "version_deleted"} == set(range(1, 71))
    assert [event["version"] for event in new if event["type"] == "upload_abandoned"] == [71]
    assert all(before["at"] <= after["at"] for before, after in pairwise(new))
    assert len({event["request_id"] for event in new}) == 1

    assert await api.register(model, files) == 72
    assert [version["version"] for version in (await api.ask("GET", f"/{model}/versions"))["items"]] == [72]
