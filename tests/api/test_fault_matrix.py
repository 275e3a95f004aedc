"""Each fault at each operation of DynamoDB and S3, under the whole API: what is promised of it happens, once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from botocore.retries.standard import ExponentialBackoff

from modelkeep.domain import uploads
from modelkeep.repositories import optimistic_transaction as commits
from modelkeep.storage.aws import dynamodb, s3_clients
from modelkeep.storage.aws.session import CONFIG
from tests.support.faults.aws import Fault
from tests.support.journeys.fault_scenarios import PART, Site, Walk, site
from tests.support.servers import AwsServer

ATTEMPTS = 3
"""Of the SDK for one request."""

FOREVER = 1_000_000
WRITE, COMPLETE = "TransactWriteItems", "CompleteMultipartUpload"
OPERATIONS = [
    "BatchGetItem",
    "GetItem",
    "Query",
    WRITE,
    "AbortMultipartUpload",
    COMPLETE,
    "CreateMultipartUpload",
    "GetObject",
    "HeadObject",
    "ListObjectsV2",
    "ListParts",
    "PutObject",
    "UploadPart",
]
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
MATRIX = [(operation, fault) for operation in OPERATIONS for fault in FAULTS if fault.befalls(operation)]
CHANGES = 15
"""Requests of a walk that write."""

AFTER_EFFECT = [Fault.REPLY_LOST, Fault.HALF_REPLY, Fault.LATE, Fault.ERROR_500_AFTER, Fault.ERROR_IN_200_AFTER]
WITHOUT_EFFECT = [Fault.REQUEST_LOST, Fault.CONFLICT, Fault.ERROR_IN_200]


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[None]:
    """Short waits, small parts."""
    pause: Callable[..., float] = lambda *_: 0  # noqa: E731 -- named for its type
    hasty = AioConfig(read_timeout=1.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExponentialBackoff, "delay_amount", pause)
        patch.setattr(dynamodb, "CONFIG", CONFIG.merge(hasty))
        patch.setattr(s3_clients, "S3_CONFIG", s3_clients.S3_CONFIG.merge(hasty))
        patch.setattr(uploads, "MIN_PART_SIZE", PART)
        yield


@pytest.fixture(scope="module")
async def served(ministack: AwsServer, impatient: None) -> AsyncIterator[Site]:
    async with site(ministack) as served:
        yield served
        assert await served.storage.check() == []
        assert served.s3.violations == []


@pytest.fixture(scope="module")
async def calm(served: Site) -> list[tuple[Any, ...]]:
    """The history that a walk in good weather leaves."""
    served.storm.seen.clear()
    walk = Walk(served, Fault.NONE)
    await walk.go()
    assert set(walk.told) == {"done"}
    assert set(served.storm.seen) == set(OPERATIONS), "an operation that no row of this matrix meets"
    return await walk.history()


async def holds(served: Site, calm: list[tuple[Any, ...]], walk: Walk) -> None:
    await walk.go()
    await served.quiesce()
    assert await walk.history() == calm
    assert served.s3.violations == []


@pytest.mark.parametrize("fault", [*AFTER_EFFECT, *WITHOUT_EFFECT], ids=lambda fault: fault.name)
async def test_each_operation_meets_it_once_in_each_step(
    served: Site, calm: list[tuple[Any, ...]], fault: Fault
) -> None:
    await holds(served, calm, Walk(served, fault))


@pytest.mark.parametrize("fault", [Fault.REPLY_LOST, Fault.ERROR_IN_200_AFTER], ids=lambda fault: fault.name)
async def test_a_version_whose_parts_s3_does_not_confirm_is_not_complete(
    served: Site, calm: list[tuple[Any, ...]], fault: Fault
) -> None:
    walk = Walk(served, fault, deep=ATTEMPTS, operations=[COMPLETE])
    await holds(served, calm, walk)
    assert walk.told["unavailable"] == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(Fault.REQUEST_LOST, "outcome_unknown", id="lost"),
        pytest.param(Fault.CONFLICT, "contention", id="conflict", marks=pytest.mark.thorough),
        pytest.param(Fault.ERROR_500_AFTER, "done", id="500 after the effect"),
    ],
)
async def test_a_change_that_meets_it_until_patience_ends_is_settled_by_its_key(
    served: Site, calm: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, fault: Fault, told: str
) -> None:
    monkeypatch.setattr(commits, "DEADLINE_SECONDS", 0.5)
    walk = Walk(served, fault, deep=FOREVER, operations=[WRITE])
    await holds(served, calm, walk)
    assert walk.told[told] >= CHANGES


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("deep", [1, ATTEMPTS, FOREVER], ids=["once", "each attempt", "forever"])
@pytest.mark.parametrize(("operation", "fault"), MATRIX, ids=lambda value: getattr(value, "name", value))
async def test_one_operation_meets_it(
    served: Site,
    calm: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    fault: Fault,
    deep: int,
) -> None:
    monkeypatch.setattr(commits, "DEADLINE_SECONDS", 2)
    await holds(served, calm, Walk(served, fault, deep=deep, operations=[operation]))
