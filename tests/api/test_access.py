"""Who gets in, and what for: registry tokens over HTTP, on both backends."""

from collections.abc import AsyncIterator

import pytest

from modelkeep.settings import Settings
from tests.support.access import Secured, secured, token_for
from tests.support.api import Api, check_problem


@pytest.fixture(scope="module")
async def service(api: Api, settings: Settings) -> AsyncIterator[Secured]:
    async with secured(settings) as service:
        yield service


async def test_a_version_goes_from_a_pipeline_to_a_container(service: Secured, model: str) -> None:
    pipeline = await service.who("publisher", models=[model], principal="train")
    promoter = await service.who("promoter", models=[model], principal="release")
    container = await service.who("reader", models=[model], principal="serve")

    number = await pipeline.register(model, {"model.pt": b"weights"})
    await pipeline.problem(
        "PUT", f"/{model}/versions/1/stage", {"stage": "production"}, status=403, code="action_forbidden"
    )
    await promoter.promote(model, number)
    assert await container.fetch(model) == {"model.pt": b"weights"}

    history = await container.events(model)
    assert [event["actor"] for event in history] == ["train", "train", "release"]
    assert {event["rule"].partition(":")[0] for event in history} == {"token"}


async def test_a_request_without_credentials_gets_401(service: Secured, model: str) -> None:
    answer = await service.anonymous.http.get(f"/v1/models/{model}")
    check_problem(answer, 401, "credentials_required")
    assert answer.headers["www-authenticate"] == 'Bearer realm="modelkeep"'


async def test_with_anonymous_access_only_a_registry_token_is_checked(api: Api, settings: Settings, model: str) -> None:
    await api.register(model)
    reader = Api(api.http, token=await token_for(settings, allow=["reader"]))
    await reader.problem("PATCH", f"/{model}", {"description": "x"}, status=403, code="action_forbidden")
    await Api(api.http, token="mr_mistyped").problem("GET", f"/{model}", status=401, code="invalid_token")
    for foreign in ("eyJhbGciOiJub25lIn0.e30.", "a-job's-own-identity"):
        await Api(api.http, token=foreign).ask("PATCH", f"/{model}", {"description": foreign})
    assert (await api.events(model))[-1]["actor"] == "anonymous"
