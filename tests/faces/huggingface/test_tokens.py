"""Registry tokens in the spellings that clients of the Hub insist on, below `/hf` and nowhere else."""

from collections.abc import AsyncIterator

import pytest

from modelkeep.domain.access.tokens import hub_spelling
from modelkeep.settings import Settings
from tests.support.access import Secured, secured, token_for
from tests.support.api import Api, check_problem
from tests.support.hub import Book, Hub

pytestmark = pytest.mark.one_backend


@pytest.fixture(scope="module")
async def service(settings: Settings, api: Api) -> AsyncIterator[Secured]:
    async with secured(settings) as service:
        yield service


@pytest.fixture(scope="module")
async def token(service: Secured) -> str:
    return await token_for(service.settings, allow=["reader"], principal="serving")


async def test_every_spelling_is_one_principal(service: Secured, book: Book, token: str) -> None:
    for spelled in (token, f"hf_{token}", hub_spelling(token)):
        hub = Hub(service.anonymous.http, token=spelled)
        found = await hub.read("/api/whoami-v2")
        assert (found["name"], found["auth"]["accessToken"]["role"]) == ("serving", "read")
        await hub.ask("HEAD", f"/{book.repository}/resolve/main/config.json")
        await hub.ask("GET", f"/{book.repository}/resolve/main/config.json", status=302)


async def test_other_addresses_take_the_token_as_it_is_alone(service: Secured, book: Book, token: str) -> None:
    path = f"/v1/models/{book.model}"
    for spelled in (f"hf_{token}", hub_spelling(token)):
        answer = await service.anonymous.http.get(path, headers={"authorization": f"Bearer {spelled}"})
        check_problem(answer, 401, "invalid_token")
    assert (await service.bearer(token).request("GET", f"/models/{book.model}")).status_code == 200


async def test_where_nobody_is_asked_a_token_of_the_hub_is_no_obstacle(hub: Hub, book: Book, token: str) -> None:
    """Its holder has it in the environment for other things. A registry token is held to, if it is one."""
    own = Hub(hub.http, token="hf_abcdefghijklmnopqrstuvwxyz")
    await own.ask("HEAD", f"/{book.repository}/resolve/main/config.json")
    for spelled in (f"hf_{token[:-1]}", hub_spelling(token[:-1])):
        await Hub(hub.http, token=spelled).refused("GET", "/api/whoami-v2", 401, "RepoNotFound")


async def test_a_revoked_token_is_refused_in_every_spelling(service: Secured) -> None:
    token = await token_for(service.settings, allow=["reader"])
    admin = await service.who("admin")
    await admin.request("DELETE", f"/tokens/{token.split('_')[1]}")
    for spelled in (f"hf_{token}", hub_spelling(token)):
        await Hub(service.anonymous.http, token=spelled).refused("GET", "/api/whoami-v2", 401, "RepoNotFound")
