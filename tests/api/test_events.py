"""History: one gapless line of events for each model."""

from typing import Any

import pytest

from tests.support.api import Api, check_problem

FIELDS = {
    "generation",
    "type",
    "version",
    "from",
    "to",
    "alias",
    "replaced",
    "actor",
    "rule",
    "comment",
    "at",
    "request_id",
}
NOTHING = dict.fromkeys(("version", "from", "to", "alias", "replaced", "comment"))


async def do(api: Api, method: str, path: str, body: Any = None) -> None:
    """Ask under a request id that says what was asked."""
    answer = await api.http.request(
        method, f"/v1/models{path}", json=body, headers={"x-request-id": f"{method}:{path.partition('/')[2]}"}
    )
    assert answer.is_success, answer.text


async def test_every_change_is_an_event_in_order(api: Api, model: str) -> None:
    begun = await api.begin(model, {"model.pt": b"weights"})
    await api.upload(begun, {"model.pt": b"weights"})
    await do(api, "POST", f"/{model}/versions/1/complete")
    await api.register(model)
    await api.begin(model, {"model.pt": b""})
    asked: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("PUT", "/versions/1/stage", {"stage": "production", "comment": "first"},
         {"type": "stage_changed", "version": 1, "from": "staging", "to": "production", "comment": "first"}),
        ("PUT", "/versions/2/stage", {"stage": "production", "expected_production": 1},
         {"type": "stage_changed", "version": 2, "from": "staging", "to": "production", "replaced": 1}),
        ("POST", "/rollback", {"expected_production": 2, "comment": "worse — sorry"},
         {"type": "rolled_back", "version": 1, "from": "archived", "to": "production", "replaced": 2,
          "comment": "worse — sorry"}),
        ("PUT", "/versions/1/stage", {"stage": "archived"},
         {"type": "stage_changed", "version": 1, "from": "production", "to": "archived"}),
        ("PUT", "/aliases/champion", {"version": 1, "comment": "new name"},
         {"type": "alias_set", "version": 1, "alias": "champion", "to": "1", "comment": "new name"}),
        ("PUT", "/aliases/champion", {"version": 2},
         {"type": "alias_set", "version": 2, "alias": "champion", "from": "1", "to": "2"}),
        ("DELETE", "/aliases/champion", None,
         {"type": "alias_removed", "version": 2, "alias": "champion", "from": "2"}),
        ("PATCH", "/versions/2", {"tags": {"a": "b"}}, {"type": "version_edited", "version": 2}),
        ("PATCH", "", {"description": "new"}, {"type": "model_edited"}),
        ("DELETE", "/versions/2", None, {"type": "version_deleted", "version": 2, "from": "archived"}),
        ("POST", "/versions/2/restore", None, {"type": "version_restored", "version": 2, "to": "archived"}),
        ("DELETE", "/versions/3/upload", None, {"type": "upload_abandoned", "version": 3}),
    ]  # fmt: skip
    for method, path, body, _ in asked:
        await do(api, method, f"/{model}{path}", body)

    events = await api.events(model)
    assert all(event.keys() == FIELDS for event in events)
    assert [event["generation"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) == await api.generation(model)
    assert {(event["actor"], event["rule"]) for event in events} == {("anonymous", "open")}
    times = [event["at"] for event in events]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)

    told = FIELDS - {"generation", "actor", "rule", "at", "request_id"}
    story = [{name: event[name] for name in told} for event in events]
    assert story[:5] == [
        NOTHING | {"type": "upload_begun", "version": 1},
        NOTHING | {"type": "version_completed", "version": 1, "to": "staging"},
        NOTHING | {"type": "upload_begun", "version": 2},
        NOTHING | {"type": "version_completed", "version": 2, "to": "staging"},
        NOTHING | {"type": "upload_begun", "version": 3},
    ]
    assert story[5:] == [NOTHING | expected for *_, expected in asked]
    assert [event["request_id"] for event in events[5:]] == [f"{method}:{model}{path}" for method, path, *_ in asked]


async def test_history_is_read_in_pages_from_any_point(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    for number in range(6):
        await api.ask("PATCH", f"/{model}", {"description": f"{number}"})
    everything = await api.events(model)
    assert len(everything) == 7
    for limit in (1, 2, 7, 100):
        for after in (0, 1, 6, 7, 10**15):
            found = [event async for event in api.walk(f"/{model}/events", limit=limit, after=after)]
            assert found == everything[after:]


async def test_every_bit_of_a_cursor_matters(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b""})
    await api.ask("PATCH", f"/{model}", {"description": "x"})
    cursor = (await api.ask("GET", f"/{model}/events?limit=1"))["next_cursor"]
    for place, character in enumerate(cursor):
        for bit in range(8):
            flipped = cursor[:place] + chr(ord(character) ^ 1 << bit) + cursor[place + 1 :]
            answer = await api.http.get(f"/v1/models/{model}/events", params={"cursor": flipped})
            check_problem(answer, 400, "invalid_cursor")


async def test_a_refused_request_is_no_event(api: Api, model: str) -> None:
    await api.register(model)
    before = await api.events(model)
    await api.problem("DELETE", f"/{model}/versions/9", status=404, code="version_not_found")
    await api.promote(model, 1, status=412, expected_production=3)
    await api.complete(model, 1)
    assert await api.events(model) == before


@pytest.mark.parametrize("given", ["ci-run-8841", "a" * 128, "A.b_c:d/e+f=g@h-1"])
async def test_a_request_id_is_echoed_and_kept(api: Api, model: str, given: str) -> None:
    body = {"artifacts": [{"path": "a", "size": 0, "sha256": "0" * 64}]}
    answer = await api.http.post(f"/v1/models/{model}/versions", json=body, headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given
    assert (await api.events(model))[0]["request_id"] == given


@pytest.mark.parametrize(
    "given", [None, "", "a" * 129, "two words", 'quote"', "semi;colon", "\u00e9".encode("latin-1")]
)
async def test_a_missing_or_malformed_request_id_is_generated(api: Api, given: Any) -> None:
    headers = [] if given is None else [("x-request-id", given)]
    answers = [await api.http.get("/healthz", headers=headers) for _ in range(2)]
    made_up = {answer.headers["x-request-id"] for answer in answers}
    assert len(made_up) == 2
    assert all(len(name) == 32 for name in made_up)
