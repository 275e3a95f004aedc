"""What the real client makes of a server that breaks off, fails or is not there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from botocore.retries.standard import ExponentialBackoff

from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.table import Absent, CommitStateUnknownError, ItemKey, Put, TableUnavailableError
from tests.support.servers import AwsServer, free_port

WRITE = Put({"model_name": "model", "version": 1}, Absent())
BROKEN_OFF = b""
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


def answer(status: int, code: str) -> bytes:
    body = f'{{"__type": "com.amazonaws.dynamodb.v20120810#{code}", "message": "x"}}'
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[DynamoDbTable]:
    """A table on a server that gives these answers in turn, the last for ever."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, opened(server.sockets[0].getsockname()[1]) as table:
        yield table


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[DynamoDbTable]:
    server = AwsServer(f"http://127.0.0.1:{port}")
    async with DynamoDbTable.open(server.session(), "registry", endpoint_url=server.endpoint) as table:
        yield table


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pause: Callable[..., float] = lambda *_: 0  # noqa: E731 -- named for its type
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", pause)


@pytest.mark.parametrize(
    "answers",
    [
        [BROKEN_OFF],
        [HALF],
        [answer(500, "InternalServerError")],
        [answer(503, "ServiceUnavailable")],
        [answer(400, "ThrottlingException")],
        [BROKEN_OFF, answer(400, "AccessDeniedException")],
        [answer(500, "InternalServerError"), answer(400, "ResourceNotFoundException")],
        [answer(400, "TransactionInProgressException")],
    ],
    ids=["broken off", "half", "500", "503", "throttled", "broken off, denied", "500, missing", "in progress"],
)
async def test_a_transaction_that_was_sent_again_is_unknown(answers: list[bytes]) -> None:
    async with answering(*answers) as table:
        with pytest.raises(CommitStateUnknownError):
            await table.transact([WRITE], request_token="token")


async def test_a_transaction_that_was_refused_at_once_has_no_effect() -> None:
    async with answering(answer(400, "ResourceNotFoundException")) as table:
        with pytest.raises(TableUnavailableError, match="run `modelkeep init`"):
            await table.transact([WRITE], request_token="token")


@pytest.mark.parametrize(
    "answers", [[BROKEN_OFF], [HALF], [answer(500, "InternalServerError")]], ids=["broken off", "half", "500"]
)
async def test_a_read_without_an_answer_is_unavailable(answers: list[bytes]) -> None:
    async with answering(*answers) as table:
        with pytest.raises(TableUnavailableError):
            await table.get(ItemKey("model", 1))


async def test_nobody_there_is_unavailable_to_read_and_unknown_to_write() -> None:
    async with opened(free_port()) as table:
        with pytest.raises(TableUnavailableError, match="No answer from http://"):
            await table.get(ItemKey("model", 1))
        with pytest.raises(CommitStateUnknownError):
            await table.transact([WRITE], request_token="token")
