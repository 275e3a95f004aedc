"""Promotion, demotion, preconditions, and rollback: one production version at every instant."""

import asyncio
from typing import Any

import pytest

from tests.support.api import Api

RAN = {"idempotency-key": "rollback-1"}


async def stages(api: Api, model: str) -> dict[int, str]:
    return {item["version"]: item["stage"] async for item in api.walk(f"/{model}/versions")}


async def register(api: Api, model: str, count: int) -> None:
    for _ in range(count):
        await api.register(model)


async def stage(api: Api, model: str, number: int, body: Any, **expected: Any) -> Any:
    return await api.ask("PUT", f"/{model}/versions/{number}/stage", body, **expected)


async def test_promoting_archives_the_version_that_held_production(api: Api, model: str) -> None:
    await register(api, model, 2)
    first = await api.promote(model, 1, comment="go")
    assert (first["version"], first["stage"]) == (1, "production")
    assert first["stage_changed_at"] > first["created_at"]
    generation = await api.generation(model)
    second = await api.promote(model, 2)
    assert second == await api.ask("GET", f"/{model}/versions/production")
    assert await stages(api, model) == {2: "production", 1: "archived"}
    assert (await api.ask("GET", f"/{model}/versions/1"))["stage_changed_at"] == second["stage_changed_at"]
    assert await api.generation(model) == generation + 1
    assert (await api.model(model))["production_version"] == 2


@pytest.mark.parametrize("to", ["staging", "archived"])
async def test_demoting_the_production_version_leaves_none(api: Api, model: str, to: str) -> None:
    await register(api, model, 1)
    await api.promote(model, 1)
    assert (await stage(api, model, 1, {"stage": to}))["stage"] == to
    assert (await api.model(model))["production_version"] is None
    for path in ("production", "production/download", "production/artifacts/model.pt"):
        await api.problem("GET", f"/{model}/versions/{path}", status=404, code="version_not_found")


async def test_moving_between_other_stages_leaves_production_alone(api: Api, model: str) -> None:
    await register(api, model, 2)
    await api.promote(model, 1)
    await stage(api, model, 2, {"stage": "archived"})
    await stage(api, model, 2, {"stage": "staging"})
    assert await stages(api, model) == {2: "staging", 1: "production"}
    assert (await api.model(model))["production_version"] == 1


@pytest.mark.parametrize("name", ["staging", "archived", "production"])
async def test_the_stage_that_a_version_has_already_writes_nothing(api: Api, model: str, name: str) -> None:
    await register(api, model, 1)
    await stage(api, model, 1, {"stage": name})
    before, version = await api.model(model), await api.ask("GET", f"/{model}/versions/1")
    assert await stage(api, model, 1, {"stage": name, "comment": "again", "only_newer": True}) == version
    assert await stage(api, model, 1, {"stage": name}, headers={"idempotency-key": "again"}) == version
    assert await api.model(model) == before


async def test_the_first_move_to_staging_is_recorded_once(api: Api, model: str) -> None:
    """So a version that nobody has moved differs from one that was moved to where it is."""
    await register(api, model, 2)
    await api.promote(model, 2)
    never = await api.ask("GET", f"/{model}/versions/1")
    assert never["stage_changed_at"] == never["created_at"]
    generation = await api.generation(model)
    body = {"stage": "staging", "comment": "to be tried"}
    await api.problem(
        "PUT", f"/{model}/versions/1/stage", {**body, "expected_production": 1}, status=412, code="production_changed"
    )
    moved = await stage(api, model, 1, body)
    assert moved["stage_changed_at"] > moved["created_at"]
    assert moved == {**never, **{key: moved[key] for key in ("stage_changed_at", "stage_changed_by")}}
    (event,) = await api.events(model, after=generation)
    assert (event["type"], event["version"], event["from"], event["to"]) == ("stage_changed", 1, "staging", "staging")
    assert (event["comment"], event["replaced"], event["at"]) == ("to be tried", None, moved["stage_changed_at"])
    assert await stage(api, model, 1, body) == moved
    assert await api.generation(model) == generation + 1
    assert (await api.model(model))["production_version"] == 2


# -- preconditions


async def test_the_precondition_fails_if_another_version_is_production(api: Api, model: str) -> None:
    await register(api, model, 3)
    await api.promote(model, 1, expected_production=None)
    before = await api.model(model)
    for expected in (None, 2, 3, 99):
        body = {"stage": "production", "expected_production": expected}
        refused = await api.problem("PUT", f"/{model}/versions/2/stage", body, status=412, code="production_changed")
        assert (refused["model"], refused["expected"], refused["holder"]) == (model, expected, 1)
    assert await api.model(model) == before
    await api.promote(model, 2, expected_production=1)
    await stage(api, model, 2, {"stage": "archived", "expected_production": 2})
    refused = await api.problem(
        "PUT",
        f"/{model}/versions/3/stage",
        {"stage": "production", "expected_production": 2},
        status=412,
        code="production_changed",
    )
    assert (refused["expected"], refused["holder"]) == (2, None)
    await api.promote(model, 3, expected_production=None)


async def test_a_promotion_repeated_with_its_precondition_finds_it_done(api: Api, model: str) -> None:
    await register(api, model, 2)
    await api.promote(model, 1)
    body = {"stage": "production", "expected_production": 1}
    done = await stage(api, model, 2, body)
    generation = await api.generation(model)
    assert await stage(api, model, 2, body) == done
    assert await api.generation(model) == generation


async def test_only_newer_refuses_to_go_back(api: Api, model: str) -> None:
    await register(api, model, 2)
    await api.promote(model, 1, only_newer=True)
    await api.promote(model, 2, only_newer=True)
    before = await api.model(model)
    body = {"stage": "production", "only_newer": True}
    refused = await api.problem("PUT", f"/{model}/versions/1/stage", body, status=409, code="not_newer")
    assert (refused["model"], refused["version"], refused["holder"]) == (model, 1, 2)
    assert await api.model(model) == before
    await stage(api, model, 2, {"stage": "staging", "only_newer": True})
    await api.promote(model, 1, only_newer=True)
    await api.promote(model, 2)
    await api.promote(model, 1)


async def test_of_concurrent_promotions_with_one_precondition_exactly_one_succeeds(api: Api, model: str) -> None:
    await register(api, model, 6)
    await api.promote(model, 1)
    answers = await asyncio.gather(
        *(
            api.http.put(
                f"/v1/models/{model}/versions/{number}/stage", json={"stage": "production", "expected_production": 1}
            )
            for number in range(2, 7)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    winner = next(answer.json()["version"] for answer in answers if answer.status_code == 200)
    assert {answer.json()["holder"] for answer in answers if answer.status_code == 412} == {winner}
    assert (await api.model(model))["production_version"] == winner


async def test_of_concurrent_promotions_the_last_wins_and_history_shows_it(api: Api, model: str) -> None:
    await register(api, model, 6)
    await asyncio.gather(*(api.promote(model, number) for number in range(1, 7)))
    changes = [event for event in await api.events(model) if event["type"] == "stage_changed"]
    assert [event["replaced"] for event in changes] == [None, *(event["version"] for event in changes[:-1])]
    holder = changes[-1]["version"]
    expected = {number: "production" if number == holder else "archived" for number in range(1, 7)}
    assert await stages(api, model) == expected


async def test_a_promotion_under_a_key_takes_effect_once(api: Api, model: str) -> None:
    await register(api, model, 2)
    once = {"idempotency-key": "promote-1"}
    await stage(api, model, 1, {"stage": "production"}, headers=once)
    await api.promote(model, 2)
    before = await api.model(model)
    repeated = await stage(api, model, 1, {"stage": "production"}, headers=once)
    assert (repeated["version"], repeated["stage"]) == (1, "archived")
    await api.problem(
        "PUT",
        f"/{model}/versions/1/stage",
        {"stage": "archived"},
        headers=once,
        status=422,
        code="idempotency_key_reused",
    )
    assert await api.model(model) == before


async def test_a_refused_request_does_not_spend_its_key(api: Api, model: str) -> None:
    await register(api, model, 1)
    once = {"idempotency-key": "promote-1"}
    body = {"stage": "production", "expected_production": 7}
    path = f"/{model}/versions/1/stage"
    await api.problem("PUT", path, body, headers=once, status=412, code="production_changed")
    await stage(api, model, 1, {"stage": "production"}, headers=once)


# -- rollback


async def test_a_rollback_needs_a_key_or_a_precondition(api: Api, model: str) -> None:
    await register(api, model, 2)
    await api.promote(model, 1)
    await api.promote(model, 2)
    before = await api.model(model)
    path = f"/{model}/rollback"
    for body in (None, {}, {"comment": "back"}):
        await api.problem("POST", path, body, status=428, code="precondition_required")
    assert await api.model(model) == before
    back = await api.ask("POST", path, {"expected_production": 2, "comment": "worse"})
    assert back == await api.ask("GET", f"/{model}/versions/1")
    assert back["stage"] == "production"
    assert await stages(api, model) == {2: "archived", 1: "production"}


async def test_a_rollback_repeated_under_its_key_goes_back_once(api: Api, model: str) -> None:
    await register(api, model, 3)
    for number in (1, 2, 3):
        await api.promote(model, number)
    first = await api.ask("POST", f"/{model}/rollback", headers=RAN)
    before = await api.model(model)
    assert first["version"] == 2
    assert await api.ask("POST", f"/{model}/rollback", headers=RAN) == first
    assert await api.model(model) == before
    await api.problem(
        "POST", f"/{model}/rollback", {"comment": "x"}, headers=RAN, status=422, code="idempotency_key_reused"
    )
    assert await api.model(model) == before


async def test_a_rollback_repeated_with_its_precondition_goes_back_once(api: Api, model: str) -> None:
    await register(api, model, 3)
    for number in (1, 2, 3):
        await api.promote(model, number)
    body = {"expected_production": 3}
    await api.ask("POST", f"/{model}/rollback", body)
    refused = await api.problem("POST", f"/{model}/rollback", body, status=412, code="production_changed")
    assert (refused["expected"], refused["holder"]) == (3, 2)
    await api.problem(
        "POST", f"/{model}/rollback", {"expected_production": None}, status=412, code="production_changed"
    )


async def test_two_rollbacks_go_two_steps_back_and_no_further(api: Api, model: str) -> None:
    await register(api, model, 3)
    for number in (1, 2, 3):
        await api.promote(model, number)
    for step, number in enumerate((2, 1)):
        back = await api.ask("POST", f"/{model}/rollback", headers={"idempotency-key": f"step-{step}"})
        assert back["version"] == number
    before = await api.model(model)
    await api.problem(
        "POST",
        f"/{model}/rollback",
        headers={"idempotency-key": "step-3"},
        status=409,
        code="no_earlier_production",
    )
    assert await api.model(model) == before


async def test_after_a_demotion_a_rollback_returns_to_the_version_that_was_demoted(api: Api, model: str) -> None:
    await register(api, model, 1)
    await api.promote(model, 1)
    await stage(api, model, 1, {"stage": "archived"})
    back = await api.ask("POST", f"/{model}/rollback", {"expected_production": None})
    assert (back["version"], back["stage"]) == (1, "production")


async def test_a_rollback_skips_versions_that_were_deleted(api: Api, model: str) -> None:
    await register(api, model, 3)
    for number in (1, 2, 3):
        await api.promote(model, number)
    await api.ask("DELETE", f"/{model}/versions/2", status=204)
    assert (await api.ask("POST", f"/{model}/rollback", {"expected_production": 3}))["version"] == 1


async def test_there_is_nothing_to_roll_back_to_at_first(api: Api, model: str) -> None:
    await register(api, model, 1)
    await api.problem("POST", f"/{model}/rollback", headers=RAN, status=409, code="no_earlier_production")
    await api.promote(model, 1)
    await api.problem("POST", f"/{model}/rollback", headers=RAN, status=409, code="no_earlier_production")
