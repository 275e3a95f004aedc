"""A bad network before DynamoDB, and indexes that lag behind.

async with before_dynamodb(server.endpoint, at_random(7, 0.3, [Fault.REPLY_LOST, Fault.CONFLICT])) as proxy:
    async with DynamoDbTable.open(session, "registry", endpoint_url=proxy.endpoint) as table:
        ...
    await proxy.quiesce()
"""

import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from tests.support.faults.aws import Fault, Plan, no_faults
from tests.support.faults.aws_proxy import AwsProxy, Call, line_to_the_server, standing
from tests.support.faults.index_lag import Lagging
from tests.support.faults.proxy import Reply, Request

_TARGET: Final = "DynamoDB_20120810."
_DYNAMODB: Final = "com.amazonaws.dynamodb.v20120810#"
_FAILED: Final = (500, f"{_DYNAMODB}InternalServerError", "Internal server error")
_IN_PROGRESS: Final = (
    400,
    f"{_DYNAMODB}TransactionInProgressException",
    "Transaction is already in progress for the given idempotency token.",
)
_THROTTLED: Final = (
    400,
    "com.amazon.coral.availability#ThrottlingException",
    "Throughput exceeds the current capacity of your table or index.",
)
_READS_THROTTLED: Final = (
    400,
    f"{_DYNAMODB}ProvisionedThroughputExceededException",
    "The level of configured provisioned throughput for the table was exceeded.",
)
_CANCELLED: Final = "Transaction cancelled, please refer cancellation reasons for specific reasons"


class DynamoDbProxy(AwsProxy):
    """See `AwsProxy`. Once `lag` is set, a Query of an index answers as the index was so many seconds ago.

    From then on every write must come through here, and none may be under way when it is set.
    """

    lag: float = 0
    _lagging: Lagging | None = None
    _headers: Mapping[str, str]

    def _read(self, request: Request) -> Call:
        operation = request.headers.get("x-amz-target", "").removeprefix(_TARGET) or request.method
        return Call(request, operation, json.loads(request.body or "{}"))

    async def _effect(self, call: Call) -> Reply:
        self._headers = call.request.headers
        if self._lagging is None and self.lag:
            self._lagging = Lagging(self._ask)
        if self._lagging is None:
            return await super()._effect(call)
        if call.operation == "Query" and "IndexName" in call.parameters:
            return await self._lagging.query(call.parameters, self.lag)
        return await self._lagging.write(call.operation, call.parameters, lambda: self._forward(call.request))

    async def _ask(self, operation: str, parameters: Mapping[str, Any]) -> Reply:
        """Ask something of the server that nobody asked; it takes any signature."""
        headers = dict(self._headers) | {"x-amz-target": f"{_TARGET}{operation}"}
        body = json.dumps(parameters).encode()
        return await self._forward(Request(method="POST", path="/", query="", headers=headers, body=body))

    def _refusal(self, fault: Fault, call: Call) -> Reply:
        match fault:
            case Fault.CONFLICT:
                return _conflict(len(call.parameters["TransactItems"]))
            case Fault.THROTTLED if call.operation != "TransactWriteItems":
                return _error(*_READS_THROTTLED)
            case Fault.THROTTLED:
                return _error(*_THROTTLED)
            case Fault.IN_PROGRESS:
                return _error(*_IN_PROGRESS)
            case _:
                return _error(*_FAILED)

    async def end(self) -> None:
        """Leave nothing behind at the server."""
        if self._lagging:
            await self._lagging.end()


@asynccontextmanager
async def before_dynamodb(endpoint: str, plan: Plan = no_faults) -> AsyncIterator[DynamoDbProxy]:
    """Stand before a server that takes any signature, until the block ends and what is late has happened."""
    async with line_to_the_server() as http, standing(DynamoDbProxy(endpoint, plan, http)) as proxy:
        try:
            yield proxy
        finally:
            await proxy.end()


def _conflict(writes: int) -> Reply:
    """Another transaction is at the first item."""
    reasons = [{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}]
    reasons += [{"Code": "None"}] * (writes - 1)
    message = f"{_CANCELLED} [{', '.join(reason['Code'] for reason in reasons)}]"
    kind = f"{_DYNAMODB}TransactionCanceledException"
    return _answer(400, {"__type": kind, "CancellationReasons": reasons, "Message": message})


def _error(status: int, kind: str, message: str) -> Reply:
    return _answer(status, {"__type": kind, "message": message})


def _answer(status: int, content: Mapping[str, Any]) -> Reply:
    body = json.dumps(content).encode()
    headers = {
        "x-amzn-requestid": str(uuid4()).upper(),
        "content-type": "application/x-amz-json-1.0",
        "content-length": str(len(body)),
        "x-amz-crc32": str(zlib.crc32(body)),
    }
    return Reply(status=status, headers=headers, body=body)
