"""Every test of the contract runs on every driver and engine, on a table of its own.

A driver joins by a function that yields a table and a line in `TABLES`.
"""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from modelkeep.storage.aws import dynamodb_setup
from modelkeep.storage.aws.dynamodb import DynamoDbTable, open_client
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import Table
from tests.support.servers import AwsServer

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class Clients:
    """One DynamoDB client for each server, opened at its first use."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[AwsServer, DynamoDBClient] = {}

    async def of(self, server: AwsServer) -> "DynamoDBClient":
        if server not in self._clients:
            opening = open_client(server.session(), "tests", endpoint_url=server.endpoint)
            self._clients[server] = await self._stack.enter_async_context(opening)
        return self._clients[server]


@pytest.fixture(scope="session")
async def clients() -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(stack)


@asynccontextmanager
async def _local(request: pytest.FixtureRequest, clients: Clients) -> AsyncIterator[Table]:
    async with SqliteTable.open(request.getfixturevalue("tmp_path") / "registry.sqlite3") as table:
        yield table


@asynccontextmanager
async def _dynamodb(server: AwsServer, clients: Clients) -> AsyncIterator[Table]:
    client, name = await clients.of(server), f"contract-{uuid.uuid4()}"
    await dynamodb_setup._create(client, name)
    yield DynamoDbTable(client, name)
    await client.delete_table(TableName=name)


def _ministack(request: pytest.FixtureRequest, clients: Clients) -> AbstractAsyncContextManager[Table]:
    return _dynamodb(request.getfixturevalue("ministack"), clients)


def _dynamodb_local(request: pytest.FixtureRequest, clients: Clients) -> AbstractAsyncContextManager[Table]:
    return _dynamodb(request.getfixturevalue("dynamodb_local"), clients)


Opening = Callable[[pytest.FixtureRequest, Clients], AbstractAsyncContextManager[Table]]

TABLES: dict[str, Opening] = {"local": _local, "ministack": _ministack, "dynamodb-local": _dynamodb_local}


@pytest.fixture(params=TABLES)
async def table(request: pytest.FixtureRequest, clients: Clients) -> AsyncIterator[Table]:
    """An empty table of this test's own."""
    async with TABLES[request.param](request, clients) as table:
        yield table


@pytest.fixture(params=["ministack", "dynamodb_local"])
async def dynamodb(request: pytest.FixtureRequest, clients: Clients) -> "DynamoDBClient":
    """A client of every DynamoDB engine."""
    return await clients.of(request.getfixturevalue(request.param))
