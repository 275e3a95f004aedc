"""Each role does its work with the policy that `iam-policy` prints for it, and with nothing less.

A guard stands before DynamoDB and S3 and decides on every request by the policy, as AWS would.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import uuid4

import httpx
import pytest

from modelkeep.admin.iam_policies import Role
from modelkeep.domain.errors import UnavailableError
from modelkeep.main import create_app
from tests.support.api import operations_of
from tests.support.faults.proxy import Proxy
from tests.support.iam_operations import JOURNEYS, PARTS_STAY, Site, open_site, policy_of
from tests.support.iam_simulator import Guard
from tests.support.servers import AwsServer
from tests.support.stores import presign, send

VARIABLES: Final = {"MODELKEEP_TABLE": "t", "MODELKEEP_BUCKET": "b", "AWS_REGION": "eu-west-1"}

LACKS: Final = r"(The role lacks|is not authorized to perform:) [^.']*{}\b[^.']* on (table '|bucket '|resource: arn:)"
"""What the service says, or S3 to whom a presigned URL was given."""

QUICK: Final = 3
"""In a quick run one action of so many is taken away."""

GRANTED: Final = [
    (role, f"{statement['Sid']} {action}")
    for role in Role
    for statement in policy_of(role, VARIABLES)["Statement"]
    for action in statement["Action"]
]
LACKING: Final = [
    pytest.param(role, action, id=f"{role}-{action}", marks=[pytest.mark.thorough] if number % QUICK else [])
    for number, (role, action) in enumerate(GRANTED)
]


@pytest.fixture(scope="module")
async def sites(ministack_here: AwsServer) -> AsyncIterator[dict[Role, Site]]:
    """A registry for each role, so that what one leaves behind does not slow another down.

    A guard can stand only before what runs on this machine.
    """
    async with AsyncExitStack() as stack:
        guard, proxy = Guard(), stack.enter_context(Proxy().running())
        proxy.behind = int(ministack_here.endpoint.rpartition(":")[2])
        proxy.when(".*", "", guard)
        guarded = replace(ministack_here, endpoint=proxy.url)
        yield {role: await stack.enter_async_context(open_site(ministack_here, guarded, guard, role)) for role in Role}


def at(sites: dict[Role, Site], role: Role, folder: Path, lacking: str = "") -> Site:
    return replace(sites[role], lacking=lacking, model=f"model-{uuid4().hex[:12]}", folder=folder)


@pytest.mark.parametrize("role", Role)
async def test_a_role_does_its_work_with_its_policy(sites: dict[Role, Site], role: Role, tmp_path: Path) -> None:
    site = at(sites, role, tmp_path)
    answered: list[tuple[str, str]] = []

    async def note(answer: httpx.Response) -> None:
        if answer.status_code < 400:
            answered.append((answer.request.method, answer.request.url.path))

    site.guard.allowed.clear()
    with mock.patch.dict(site.api.http.event_hooks, response=[*site.api.http.event_hooks["response"], note]):
        await JOURNEYS[role](site)
    granted = {action.split()[1] for each, action in GRANTED if each is role}
    assert granted <= {access.action for access in site.guard.allowed}
    if role is Role.SERVE:
        for method, path, operation in operations_of(create_app(site.storage.settings).openapi()):
            if method != "HEAD":  # the same as GET
                assert any(method == asked and path.fullmatch(place) for asked, place in answered), operation["summary"]


@pytest.mark.parametrize(("role", "action"), LACKING)
async def test_without_an_action_a_role_fails_and_says_what_is_lacking(
    sites: dict[Role, Site], role: Role, action: str, tmp_path: Path
) -> None:
    silent = action.endswith("AbortMultipartUpload") and role is not Role.SWEEP
    sentence = PARTS_STAY if silent else LACKS.format(re.escape(action.split()[1]))
    with pytest.raises((AssertionError, UnavailableError), match=sentence):
        await JOURNEYS[role](at(sites, role, tmp_path, action))


async def test_a_presigned_url_has_the_rights_of_its_signer(sites: dict[Role, Site], tmp_path: Path) -> None:
    here = at(sites, Role.SERVE, tmp_path)
    content = b"bytes"
    for key, status in (("models/m/v1/model.pt", 200), ("elsewhere/model.pt", 403)):
        signed = await presign(here.storage.store, key, content)
        with here.tested():
            assert (await send(here.api.http, signed, content)).status_code == status
