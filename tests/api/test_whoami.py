"""Who a caller is to the registry, and what it may do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from modelkeep.settings import Settings
from tests.support.access import Secured, secured
from tests.support.api import Api, check_problem, when


@pytest.fixture(scope="module")
async def service(api: Api, settings: Settings) -> AsyncIterator[Secured]:
    async with secured(settings) as service:
        yield service


async def test_the_bearer_of_a_token_learns_its_name_its_grants_and_its_end(service: Secured) -> None:
    admin = await service.who("admin", principal="root")
    ends = datetime.now(UTC) + timedelta(days=3)
    made = await admin.request(
        "POST",
        "/tokens",
        json={
            "principal": "train",
            "allow": ["publisher", "alias.set"],
            "deny": ["version.edit"],
            "models": ["fraud-*", "spam"],
            "expires_at": ends.isoformat(),
        },
    )
    answer = await service.bearer(made.json()["token"]).request("GET", "/whoami")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "principal": "train",
        "grants": [
            {"allow": ["publisher", "alias.set"], "deny": [], "models": ["fraud-*", "spam"]},
            {"allow": [], "deny": ["version.edit"], "models": ["fraud-*", "spam"]},
        ],
        "expires_at": made.json()["expires_at"],
    }
    assert when(answer.json()["expires_at"]) == ends


async def test_whoever_is_not_known_learns_nothing(service: Secured) -> None:
    check_problem(await service.anonymous.request("GET", "/whoami"), 401, "credentials_required")


async def test_where_nobody_is_asked_everybody_is_anonymous_and_may_do_everything(api: Api) -> None:
    everything = [{"allow": ["*"], "deny": [], "models": ["*"]}]
    answer = await api.request("GET", "/whoami")
    assert answer.json() == {"principal": "anonymous", "grants": everything, "expires_at": None}
