"""Which version was production at a time, by history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Api, Shelf, when


async def _moved(api: Api, model: str, number: int, stage: str) -> None:
    await api.ask("PUT", f"/{model}/versions/{number}/stage", {"stage": stage})


async def _at(api: Api, model: str, at: str, *, status: int = 200) -> Any:
    return await api.ask("GET", f"/{model}/versions/production?at={at}", status=status)


async def test_production_is_known_at_every_time_of_the_history(api: Api, model: str) -> None:
    """Promotion, rollback, demotion and archiving count, and what is deleted since is said to have been it."""
    for _ in range(3):
        await api.register(model)
    held: dict[int, int | None] = {}

    async def note(number: int | None) -> None:
        held[await api.generation(model)] = number

    await note(None)
    for number in (1, 2, 3):
        await api.promote(model, number)
        await note(number)
    await api.ask("POST", f"/{model}/rollback", {"expected_production": 3})
    await note(2)
    await _moved(api, model, 3, "staging")
    await note(2)
    await _moved(api, model, 2, "staging")
    await note(None)
    await api.promote(model, 1)
    await note(1)
    await _moved(api, model, 1, "archived")
    await note(None)
    await api.ask("DELETE", f"/{model}/versions/3", status=204)
    events = await api.events(model)
    expected = None
    for event in events:
        expected = held.get(event["generation"], expected)
        at = event["at"]
        if expected in {None, 3}:
            refused = await _at(api, model, at, status=404)
            assert (refused["code"], refused["version"]) == ("production_not_found", expected)
            assert (refused["model"], when(refused["at"])) == (model, when(at))
        else:
            found = await _at(api, model, at)
            assert found == await api.ask("GET", f"/{model}/versions/{expected}")
    await api.ask("POST", f"/{model}/versions/3/restore")
    promoted = next(event["at"] for event in events if event["version"] == 3 and event["to"] == "production")
    assert (await _at(api, model, promoted))["version"] == 3
    before = (when(events[0]["at"]) - timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
    assert (await _at(api, model, before, status=404))["version"] is None


async def test_a_time_has_any_offset_and_may_be_to_come(api: Api, shelf: Shelf) -> None:
    now = datetime.now(UTC)
    for at in ("2999-12-31T23:59:59.123456789z", (now + timedelta(hours=5)).isoformat().replace("+00:00", "%2B01:00")):
        found = await _at(api, shelf.model, at)
        assert found == await api.ask("GET", f"/{shelf.model}/versions/production")
    early = await _at(api, shelf.model, "0001-01-01T00:00:00-01:00", status=404)
    assert (early["code"], early["at"]) == ("production_not_found", "0001-01-01T01:00:00Z")


@pytest.mark.parametrize(
    "at",
    ["", "now", "2026-01-31", "1767225600", "2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00", "2026-02-30T12:00:00Z",
     "0001-01-01T00:00:00%2B01:00", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00Z%0A"],
)  # fmt: skip
async def test_what_is_no_time_is_refused(api: Api, shelf: Shelf, at: str) -> None:
    path = f"/{shelf.model}/versions/production?at={at}"
    refused = await api.problem("GET", path, status=422, code="invalid_request")
    assert refused["errors"][0]["location"] == "query.at"


@pytest.mark.parametrize("ref", ["1", "latest", "staging", "champion", "0" * 40])
async def test_only_production_is_known_of_the_past(api: Api, shelf: Shelf, ref: str) -> None:
    path = f"/{shelf.model}/versions/{ref}?at=2026-01-31T12:00:00Z"
    refused = await api.problem("GET", path, status=422, code="invalid_request")
    assert refused["errors"][0]["location"] == "query.at"


async def test_a_model_that_is_deleted_or_never_was_has_no_production(api: Api, model: str) -> None:
    at = "2999-01-01T00:00:00Z"
    path = f"/{model}/versions/production?at={at}"
    await api.problem("GET", path, status=404, code="model_not_found")
    await api.register(model)
    await api.promote(model, 1)
    await _moved(api, model, 1, "archived")
    await api.ask("DELETE", f"/{model}", status=204)
    await api.problem("GET", path, status=404, code="model_not_found")
    await api.register(model)
    await api.problem("GET", path, status=404, code="production_not_found")
