"""What may be done depends on what is there: production, keys of earlier requests, signed URLs."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from modelkeep.settings import Settings
from tests.support.access import Secured, secured, token_for
from tests.support.api import Api, check_problem, declare

FILES = {"model.pt": b"weights"}


@pytest.fixture(scope="module")
async def service(api: Api, settings: Settings) -> AsyncIterator[Secured]:
    async with secured(settings) as service:
        yield service


@pytest.fixture
async def admin(service: Secured, model: str) -> Api:
    """Who made the model: version 3 is production, and before it were 2 and 1."""
    admin = await service.who("admin", principal="owner")
    for number in (1, 2, 3):
        await admin.register(model, FILES)
        await admin.promote(model, number)
    return admin


async def production(api: Api, model: str) -> Any:
    return (await api.model(model))["production_version"]


# -- production


@pytest.mark.parametrize("stage", ["staging", "archived"])
@pytest.mark.parametrize(
    ("reads", "refusal"), [(["reader"], (403, "action_forbidden")), ([], (404, "model_not_found"))]
)
async def test_out_of_production_needs_the_right_to_production(
    service: Secured, admin: Api, model: str, stage: str, reads: Sequence[str], refusal: tuple[int, str]
) -> None:
    weak = await service.who(*reads, "stage.set:staging", "stage.set:archived")
    generation = await admin.generation(model)
    answer = await weak.request("PUT", f"/models/{model}/versions/3/stage", json={"stage": stage})
    problem = check_problem(answer, *refusal)
    assert problem.get("action") in {"stage.set:production", None}
    assert (await production(admin, model), await admin.generation(model)) == (3, generation)

    await weak.ask("PUT", f"/{model}/versions/2/stage", {"stage": "staging"})
    only_production = await service.who(*reads, "stage.set:production")
    answer = await only_production.request("PUT", f"/models/{model}/versions/3/stage", json={"stage": stage})
    check_problem(answer, *refusal)
    strong = await service.who(*reads, f"stage.set:{stage}", "stage.set:production")
    await strong.ask("PUT", f"/{model}/versions/3/stage", {"stage": stage})
    assert await production(admin, model) is None


async def test_promotion_archives_the_holder_by_the_right_to_production_alone(
    service: Secured, admin: Api, model: str
) -> None:
    promoter = await service.who("stage.set:production")
    assert (await promoter.promote(model, 1))["stage"] == "production"
    assert (await admin.ask("GET", f"/{model}/versions/3"))["stage"] == "archived"


async def test_rollback_needs_the_right_to_production(service: Secured, admin: Api, model: str) -> None:
    precondition = {"expected_production": 3}
    for words in ("publisher", "stage.set:staging", "stage.set:archived"):
        weak = await service.who("reader", words)
        await weak.problem("POST", f"/{model}/rollback", precondition, status=403, code="action_forbidden")
    denied = await service.who("admin", deny=["stage.set:production"])
    await denied.problem("POST", f"/{model}/rollback", precondition, status=403, code="action_forbidden")
    assert await production(admin, model) == 3
    strong = await service.who("stage.set:production")
    assert (await strong.ask("POST", f"/{model}/rollback", precondition))["version"] == 2


@pytest.mark.parametrize("words", [["model.write"], ["version.delete"], ["publisher", "promoter"]])
async def test_deleting_a_model_needs_the_rights_to_it_and_to_its_versions(
    service: Secured, admin: Api, model: str, words: Sequence[str]
) -> None:
    await admin.ask("PUT", f"/{model}/versions/3/stage", {"stage": "archived"})
    weak = await service.who("reader", *words)
    await weak.problem("DELETE", f"/{model}", status=403, code="action_forbidden")
    assert (await admin.model(model))["latest_version"] == 3
    await (await service.who("model.write", "version.delete")).ask("DELETE", f"/{model}", status=204)
    await admin.problem("GET", f"/{model}", status=404, code="model_not_found")


async def test_a_copy_needs_to_read_the_one_model_and_to_write_to_the_other(
    service: Secured, admin: Api, model: str
) -> None:
    other, body = f"{model}-2", {"from": {"model": model, "version": 1}}
    await (await service.who("publisher", models=[other])).problem(
        "POST", f"/{other}/versions", body, status=404, code="model_not_found"
    )
    reader = await service.who("reader", models=[model, other])
    await reader.problem("POST", f"/{other}/versions", body, status=403, code="action_forbidden")
    await admin.problem("GET", f"/{other}", status=404, code="model_not_found")
    writer = service.bearer(await token_for(service.settings, allow=["publisher"], models=[other, model]))
    await writer.ask("POST", f"/{other}/versions", body, status=201)
    stranger = await service.who("reader", models=[other])
    assert await stranger.fetch(other, "1") == await admin.fetch(model, "1")
    await stranger.problem("GET", f"/{model}", status=404, code="model_not_found")


async def test_a_case_is_a_difference(service: Secured, admin: Api, model: str) -> None:
    await (await service.who("admin", models=[model])).ask("PATCH", f"/{model}", {"description": "mine"})
    other = await service.who("admin", models=[model.upper(), model.capitalize()])
    await other.problem("PATCH", f"/{model}", {"description": "taken"}, status=404, code="model_not_found")
    assert (await admin.model(model))["description"] == "mine"


# -- repeats under a key


async def test_a_key_settles_nothing_for_another_principal(service: Secured, admin: Api, model: str) -> None:
    once = {"idempotency-key": "run-1"}
    mine = await service.who("publisher", principal="train")
    assert (await mine.begin(model, FILES, key="run-1"))["version"] == 4
    assert (await mine.begin(model, FILES, key="run-1"))["version"] == 4
    assert (await (await service.who("publisher", principal="other")).begin(model, FILES, key="run-1"))["version"] == 5

    body = {"artifacts": declare(FILES)}
    for words in (["reader"], ["model.write"]):
        weak = await service.who(*words, principal="weak")
        await weak.problem("POST", f"/{model}/versions", body, status=403, code="action_forbidden", headers=once)
    assert [event["actor"] for event in await admin.events(model)][-2:] == ["train", "other"]


@pytest.mark.parametrize(
    ("method", "path", "body", "word"),
    [
        ("POST", "/versions", {"artifacts": declare(FILES)}, "version.upload"),
        ("PATCH", "", {"description": "changed"}, "model.write"),
        ("PATCH", "/versions/1", {"description": "changed"}, "version.edit"),
        ("PUT", "/versions/1/stage", {"stage": "production"}, "stage.set:production"),
        ("POST", "/rollback", {}, "stage.set:production"),
        ("PUT", "/aliases/champion", {"version": 1}, "alias.set"),
        ("DELETE", "/versions/1", None, "version.delete"),
    ],
)
async def test_a_repeat_is_refused_once_the_right_is_lost(
    service: Secured, admin: Api, model: str, method: str, path: str, body: Any, word: str
) -> None:
    once = {"idempotency-key": "run-1"}
    before = await service.who(word, principal="train")
    first = await before.request(method, f"/models/{model}{path}", json=body, headers=once)
    assert first.is_success, first.text
    generation = await admin.generation(model)
    after = await service.who("reader", principal="train")
    await after.problem(method, f"/{model}{path}", body, status=403, code="action_forbidden", headers=once)
    denied = await service.who("admin", deny=[word], principal="train")
    await denied.problem(method, f"/{model}{path}", body, status=403, code="action_forbidden", headers=once)
    assert (await before.request(method, f"/models/{model}{path}", json=body, headers=once)).is_success
    assert await admin.generation(model) == generation


# -- history


async def test_events_name_the_actor_and_the_rule_that_allowed_the_change(service: Secured, model: str) -> None:
    tokens = {
        "train": await token_for(service.settings, allow=["publisher"], models=[model], principal="train"),
        "release": await token_for(service.settings, allow=["promoter", "admin"], models=["*"], principal="release"),
    }
    train, release = (service.bearer(token) for token in tokens.values())
    await train.register(model, FILES)
    await train.ask("PATCH", f"/{model}/versions/1", {"description": "trained"})
    await release.promote(model, 1)
    await release.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    await release.ask("PATCH", f"/{model}", {"description": "released"})
    rules = {name: f"token:{token.split('_')[1]}" for name, token in tokens.items()}
    actors = ["train"] * 3 + ["release"] * 3
    history = await release.events(model)
    assert [(event["actor"], event["rule"]) for event in history] == [(actor, rules[actor]) for actor in actors]
    found = await release.ask("GET", f"/{model}/versions/1")
    assert (found["created_by"], found["stage_changed_by"]) == ("train", "release")


# -- storage


async def test_upload_urls_need_the_right_to_upload(service: Secured, model: str) -> None:
    pipeline = await service.who("version.upload", models=[model])
    body = {"artifacts": declare(FILES)}
    for words in (["reader"], ["promoter"], ["model.write", "model.read"], ["version.edit"]):
        other = await service.who(*words, models=[model])
        await other.problem("POST", f"/{model}/versions", body, status=403, code="action_forbidden")
    begun = await pipeline.begin(model, FILES)
    for words in (["reader"], ["promoter"], ["version.edit"]):
        other = await service.who(*words, models=[model])
        answer = await other.request("GET", f"/models/{model}/versions/1/upload")
        check_problem(answer, 403, "action_forbidden")
        assert "ignature" not in answer.text
    await pipeline.upload(begun, FILES)
    await pipeline.complete(model, 1)


async def test_a_signed_url_is_all_that_storage_needs(service: Secured, admin: Api, model: str) -> None:
    (signed,) = (await admin.download(model))["artifacts"]
    plain = service.anonymous.http
    assert (await plain.get(signed["url"])).content == FILES["model.pt"]

    bare = signed["url"].partition("?")[0]
    token = await token_for(service.settings, allow=["admin"])
    for method in ("GET", "PUT"):
        answer = await plain.request(method, bare, content=b"forged", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code in {400, 403}, answer.text
    assert await admin.fetch(model) == FILES
