"""What a caller is told of a model that a newer release has changed."""

from typing import Any

from modelkeep.bootstrap import open_storage
from modelkeep.repositories.keys import event_key, head_key
from modelkeep.schemas.events import EventPage
from modelkeep.settings import Settings
from modelkeep.storage.table import Absent, Present, Put
from tests.support.api import Api, check_problem


async def newer(settings: Settings, model: str, *, head_format: int = 1) -> None:
    """Let a newer release record an approval, perhaps in a format of its own."""
    async with open_storage(settings) as (table, _):
        head = dict(await table.get(head_key(model)) or {})
        generation = int(head["generation"]) + 1
        key = event_key(model, generation)
        event = {
            "model_name": key.partition,
            "version": key.sort,
            "type": "approval_given",
            "operation_id": head["operation_id"],
            "actor": "ci",
            "at": head["updated_at"],
            "request_id": "r",
            "approvals": ["ci"],
        }
        writes = [
            Put({**head, "generation": generation, "format": head_format, "rules": {"approvals": 2}}, Present()),
            Put(event, Absent()),
        ]
        await table.transact(writes, request_token=f"newer-{model}"[-36:])


async def test_an_event_of_an_unknown_type_is_listed(api: Api, settings: Settings, model: str) -> None:
    await api.register(model)
    await newer(settings, model)
    await api.promote(model, 1)
    types = [event["type"] for event in await api.events(model)]
    assert types == ["upload_begun", "version_completed", "approval_given", "stage_changed"]
    page = EventPage.model_validate(await api.ask("GET", f"/{model}/events"))
    assert [event.type for event in page.items] == types


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"description": "new"}),
    ("DELETE", "", None),
    ("POST", "/versions", {"artifacts": [{"path": "m", "size": 0, "sha256": "0" * 64}]}),
    ("POST", "/versions/2/complete", None),
    ("DELETE", "/versions/2/upload", None),
    ("PATCH", "/versions/1", {"description": "new"}),
    ("DELETE", "/versions/1", None),
    ("POST", "/versions/3/restore", None),
    ("PUT", "/versions/1/stage", {"stage": "production"}),
    ("POST", "/rollback", {"expected_production": None}),
    ("PUT", "/aliases/champion", {"version": 1}),
    ("DELETE", "/aliases/champion", None),
]


async def test_every_change_of_a_newer_format_is_answered_503(api: Api, settings: Settings, model: str) -> None:
    await api.register(model)
    await api.begin(model, {"model.pt": b"weights"})
    await newer(settings, model, head_format=2)
    before = await api.events(model)
    for method, path, body in CHANGES:
        answer = await api.request(method, f"/models/{model}{path}", json=body)
        problem = check_problem(answer, 503, "newer_format")
        assert (problem["model"], problem["format"], problem["supported"]) == (model, 2, 1)
        assert problem["detail"].endswith("Nothing was changed. Run a release that writes format 2 or later.")
        assert answer.headers["retry-after"]
    assert await api.events(model) == before
    assert (await api.download(model, "latest"))["version"] == 1
