"""What the proxy before DynamoDB claims of each fault: its effect on the table, and what the driver makes of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError
from botocore.retries.standard import ExponentialBackoff

from modelkeep.storage.aws import dynamodb as driver
from modelkeep.storage.aws import dynamodb_setup
from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.aws.session import CONFIG
from modelkeep.storage.table import (
    CATALOG_INDEX,
    STAGE_INDEX,
    Absent,
    CommitStateUnknownError,
    ConditionFailedError,
    Delete,
    Equals,
    Item,
    ItemKey,
    Present,
    Put,
    Table,
    TableError,
    TableUnavailableError,
    TransactionConflictError,
)
from tests.support.faults.aws import Fault, always, at_random, in_turn, no_faults
from tests.support.faults.dynamodb_proxy import DynamoDbProxy, before_dynamodb
from tests.support.faults.proxy import Reply, Request
from tests.support.servers import AwsServer, free_port

ONLY_TRANSACTIONS = ["TransactWriteItems"]
ATTEMPTS = 3

ALWAYS: list[tuple[Fault, type[TableError] | None]] = [
    (Fault.NONE, None),
    (Fault.REQUEST_LOST, CommitStateUnknownError),
    (Fault.RESET, CommitStateUnknownError),
    (Fault.REPLY_LOST, CommitStateUnknownError),
    (Fault.HALF_REPLY, CommitStateUnknownError),
    (Fault.LATE, CommitStateUnknownError),
    (Fault.DELAYED, None),
    (Fault.HANGING, CommitStateUnknownError),
    (Fault.ERROR_500, CommitStateUnknownError),
    (Fault.ERROR_500_AFTER, CommitStateUnknownError),
    (Fault.THROTTLED, CommitStateUnknownError),
    (Fault.CONFLICT, TransactionConflictError),
    (Fault.IN_PROGRESS, CommitStateUnknownError),
]
"""What a transaction comes to that meets the fault at each of its attempts. The SDK never repeats a conflict."""

NOT_REPEATED = {Fault.NONE, Fault.DELAYED, Fault.CONFLICT}


class Doors:
    """One table, as it is reached without a proxy, through it, and by somebody who waits 0.3 seconds at most."""

    def __init__(self, behind: DynamoDbTable, proxy: DynamoDbProxy, table: DynamoDbTable, hasty: DynamoDbTable) -> None:
        self.behind = behind
        self.proxy = proxy
        self.table = table
        self.hasty = hasty

    def through(self, fault: Fault) -> DynamoDbTable:
        """The way for whoever will meet this fault."""
        return self.hasty if fault is Fault.HANGING else self.table


@asynccontextmanager
async def opened(server: AwsServer, name: str, endpoint: str, *, patience: float = 3) -> AsyncIterator[DynamoDbTable]:
    async with AsyncExitStack() as stack:
        with mock.patch.object(driver, "CONFIG", CONFIG.merge(AioConfig(read_timeout=patience))):
            opening = DynamoDbTable.open(server.session(), name, endpoint_url=endpoint)
            table = await stack.enter_async_context(opening)
        yield table


@pytest.fixture(scope="module", params=["ministack", "dynamodb_local"])
def server(request: pytest.FixtureRequest) -> AwsServer:
    server: AwsServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="module")
async def doors(server: AwsServer) -> AsyncIterator[Doors]:
    name = f"contract-{uuid4()}"
    async with (
        before_dynamodb(server.endpoint) as proxy,
        opened(server, name, server.endpoint, patience=30) as behind,
        opened(server, name, proxy.endpoint) as table,
        opened(server, name, proxy.endpoint, patience=0.3) as hasty,
    ):
        await dynamodb_setup._create(behind._client, name)
        yield Doors(behind, proxy, table, hasty)
        await behind._client.delete_table(TableName=name)


@pytest.fixture
def proxy(doors: Doors) -> Iterator[DynamoDbProxy]:
    doors.proxy.requests.clear()
    doors.proxy.delay = 0.05
    yield doors.proxy
    doors.proxy.plan = no_faults


@pytest.fixture
def table(doors: Doors, proxy: DynamoDbProxy) -> DynamoDbTable:
    return doors.table


@pytest.fixture
def behind(doors: Doors) -> DynamoDbTable:
    return doors.behind


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pause: Callable[..., float] = lambda *_: 0  # noqa: E731 -- named for its type
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", pause)


@pytest.fixture
def first() -> Put:
    return Put({"model_name": f"model-{uuid4()}", "version": 1}, Absent())


@pytest.fixture
def second(first: Put) -> Put:
    return Put({**first.item, "version": 2}, Absent())


async def outcome(transaction: Awaitable[None]) -> type[TableError] | None:
    try:
        await transaction
    except TableError as error:
        return type(error)
    return None


@pytest.mark.parametrize(("fault", "meaning"), ALWAYS, ids=lambda value: getattr(value, "name", ""))
async def test_a_transaction_that_always_meets_a_fault(
    doors: Doors, proxy: DynamoDbProxy, first: Put, second: Put, fault: Fault, meaning: type[TableError] | None
) -> None:
    proxy.plan = always(fault)
    assert await outcome(doors.through(fault).transact([first, second], request_token=str(uuid4()))) is meaning
    await proxy.quiesce()
    assert (await doors.behind.get(first.key) is not None) == fault.has_effect
    assert (await doors.behind.get(second.key) is not None) == fault.has_effect
    assert proxy.met("TransactWriteItems") == [fault] * (1 if fault in NOT_REPEATED else ATTEMPTS)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.befalls("TransactWriteItems")])
async def test_a_transaction_that_meets_a_fault_once_is_written_once(
    doors: Doors, proxy: DynamoDbProxy, first: Put, fault: Fault
) -> None:
    proxy.plan = in_turn([fault])
    table, token = doors.through(fault), str(uuid4())
    try:
        await table.transact([first], request_token=token)
    except TransactionConflictError:
        assert fault is Fault.CONFLICT
        await table.transact([first], request_token=token)
    await proxy.quiesce()
    assert await doors.behind.get(first.key) == first.item


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.befalls("GetItem")])
async def test_a_read_meets_it_and_is_unavailable_or_right(
    doors: Doors, proxy: DynamoDbProxy, first: Put, fault: Fault
) -> None:
    table = doors.through(fault)
    await doors.behind.transact([first], request_token=str(uuid4()))
    proxy.plan = in_turn([fault])
    assert await table.get(first.key) == first.item
    proxy.plan = always(fault)
    if fault in {Fault.NONE, Fault.DELAYED}:
        assert await table.get(first.key) == first.item
    else:
        with pytest.raises(TableUnavailableError):
            await table.get(first.key)


async def test_a_condition_is_refused_through_the_proxy_as_without_it(
    table: Table, behind: Table, first: Put, second: Put
) -> None:
    await behind.transact([first], request_token=str(uuid4()))
    with pytest.raises(ConditionFailedError) as refusal:
        await table.transact([second, first], request_token=str(uuid4()))
    assert refusal.value.failed == [False, True]
    assert refusal.value.items == [None, first.item]


async def test_a_conflict_names_the_reasons_by_position(proxy: DynamoDbProxy, table: DynamoDbTable) -> None:
    proxy.plan = always(Fault.CONFLICT)
    put: Any = {"Put": {"TableName": table._name, "Item": {"model_name": {"S": "m"}, "version": {"N": "1"}}}}
    with pytest.raises(ClientError) as refusal:
        await table._client.transact_write_items(TransactItems=[put, put, put])
    answer = refusal.value.response
    assert answer["Error"]["Code"] == "TransactionCanceledException"
    assert "[TransactionConflict, None, None]" in answer["Error"]["Message"]
    codes = [reason["Code"] for reason in answer["CancellationReasons"]]
    assert codes == ["TransactionConflict", "None", "None"]
    assert int(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-crc32"]) > 0


async def test_what_is_late_comes_after_the_caller_has_given_up(
    proxy: DynamoDbProxy, table: Table, behind: Table, first: Put
) -> None:
    proxy.delay = 0.5
    proxy.plan = always(Fault.LATE)
    with pytest.raises(CommitStateUnknownError):
        await table.transact([first], request_token=str(uuid4()))
    assert await behind.get(first.key) is None
    await proxy.quiesce()
    assert await behind.get(first.key) == first.item


async def test_an_effect_that_its_caller_has_not_waited_for_is_waited_for(
    proxy: DynamoDbProxy, table: Table, behind: Table, first: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, has_come = proxy._forward, asyncio.Event()

    async def forward_slowly(request: Request) -> Reply:
        has_come.set()
        await asyncio.sleep(0.3)
        return await forward(request)

    monkeypatch.setattr(proxy, "_forward", forward_slowly)
    caller = asyncio.create_task(table.transact([first], request_token=str(uuid4())))
    await has_come.wait()
    caller.cancel()
    assert await behind.get(first.key) is None
    await proxy.quiesce()
    assert await behind.get(first.key) == first.item


async def test_a_plan_sees_the_operation_and_its_json(proxy: DynamoDbProxy, table: Table, first: Put) -> None:
    seen: list[tuple[str, str]] = []

    def plan(operation: str, parameters: object) -> Fault:
        assert isinstance(parameters, dict)
        seen.append((operation, parameters["Key"]["model_name"]["S"]))
        return Fault.NONE

    proxy.plan = plan
    await table.get(first.key)
    assert seen == [("GetItem", first.key.partition)]


async def test_chance_is_the_same_for_the_same_seed() -> None:
    faults = [Fault.REPLY_LOST, Fault.CONFLICT]
    plans = [at_random(7, 0.5, faults) for _ in range(2)]
    first, second = ([plan("TransactWriteItems", {}) for _ in range(100)] for plan in plans)
    assert first == second
    assert set(first) == {Fault.NONE, *faults}
    assert {at_random(7, 1, faults)("GetItem", {}) for _ in range(10)} == {Fault.REPLY_LOST}
    assert at_random(7, 1, faults, operations=ONLY_TRANSACTIONS)("GetItem", {}) is Fault.NONE


async def test_a_plan_that_cannot_be_is_told(ministack: AwsServer) -> None:
    standing = before_dynamodb(ministack.endpoint, always(Fault.CONFLICT))
    proxy = await standing.__aenter__()
    async with opened(ministack, "unmade", proxy.endpoint) as table:
        with pytest.raises(TableUnavailableError):
            await table.get(ItemKey("model", 1))
    with pytest.raises(ValueError, match="CONFLICT never befalls GetItem"):
        await standing.__aexit__(None, None, None)


async def test_a_server_that_is_gone_is_a_lost_request() -> None:
    nowhere = AwsServer(f"http://127.0.0.1:{free_port()}")
    async with before_dynamodb(nowhere.endpoint) as proxy, opened(nowhere, "unmade", proxy.endpoint) as table:
        with pytest.raises(TableUnavailableError):
            await table.get(ItemKey("model", 1))


async def test_an_index_lags_behind_the_table(doors: Doors, server: AwsServer) -> None:
    model = f"model-{uuid4()}"
    staging: Item = {"model_name": model, "version": 1, "stage": "staging", "catalog": model}
    production: Item = {**staging, "stage": "production"}
    key, other = ItemKey(model, 1), Put({**staging, "model_name": f"{model}-2"}, Absent())
    async with before_dynamodb(server.endpoint) as proxy, opened(server, doors.behind._name, proxy.endpoint) as table:

        async def listed(stage: str) -> Sequence[ItemKey]:
            return (await table.query_index(STAGE_INDEX, model, prefix=stage, limit=10)).items

        async def catalogued() -> Sequence[ItemKey]:
            return (await table.query_index(CATALOG_INDEX, model, limit=10)).items

        await table.transact([Put(staging, Absent())], request_token=str(uuid4()))
        proxy.lag = 60
        assert await listed("staging") == [key]
        await table.transact([Put(production, Equals({"stage": "staging"})), other], request_token=str(uuid4()))
        assert ((await table.get(key)) or {})["stage"] == "production"
        assert (await listed("staging"), await listed("production"), await catalogued()) == ([key], [], [key])
        proxy.lag = 0.05
        await asyncio.sleep(proxy.lag)
        assert (await listed("staging"), await listed("production")) == ([], [key])
        assert await catalogued() == [key, other.key]
        await table.transact([Delete(key, Present())], request_token=str(uuid4()))
        await asyncio.sleep(proxy.lag)
        assert (await listed("production"), await catalogued()) == ([], [other.key])
    names = (await doors.behind._client.list_tables())["TableNames"]
    assert not [name for name in names if name.startswith("lagging-")]
