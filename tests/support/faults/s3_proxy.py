"""A bad network before S3, and a referee who holds each request that gets through against S3's rules.

async with before_s3(server, in_turn([Fault.REPLY_LOST], operations={"CompleteMultipartUpload"})) as proxy:
    async with S3Store.open(session, "models", public_url=proxy.endpoint, endpoint_url=proxy.endpoint) as store:
        ...
    assert proxy.violations == []
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import aiohttp

from tests.support.faults.aws import Fault, Plan, no_faults
from tests.support.faults.aws_proxy import AwsProxy, Call, line_to_the_server, standing
from tests.support.faults.proxy import Reply, Request
from tests.support.s3_rules import operations
from tests.support.s3_rules.errors import S3Error
from tests.support.s3_rules.oracle import Referee
from tests.support.servers import AwsServer

_SLOW_DOWN: Final = S3Error(503, "SlowDown", "Please reduce your request rate.")
_INTERNAL: Final = S3Error(500, "InternalError", "We encountered an internal error. Please try again.")
_CONFLICT: Final = S3Error(
    409,
    "ConditionalRequestConflict",
    "The conditional request cannot succeed due to a conflicting operation against this resource.",
)
_REFUSALS: Final = {Fault.THROTTLED: _SLOW_DOWN, Fault.CONFLICT: _CONFLICT}


class S3Proxy(AwsProxy):
    """See `AwsProxy`. The server behind sees the Host that was signed. Whole bodies are kept in memory on their way.

    A browser's question before its request is passed on, and no operation of S3.
    """

    def __init__(self, behind: AwsServer, plan: Plan, http: aiohttp.ClientSession) -> None:
        super().__init__(behind.endpoint, plan, http)
        self.referee = Referee(behind.access_key, behind.secret_key, behind.region)

    @property
    def violations(self) -> list[str]:
        """What the referee has refused so far."""
        return self.referee.violations

    def _read(self, request: Request) -> Call:
        operation, parameters = operations.read(request)
        return Call(request, operation, parameters)

    async def _effect(self, call: Call) -> Reply:
        if call.request.method == "OPTIONS":
            return await super()._effect(call)
        try:
            self.referee.judge(*call)
        except S3Error as refusal:
            return refusal.reply(call.request)
        reply = await super()._effect(call)
        self.referee.note(*call, reply)
        return reply

    def _refusal(self, fault: Fault, call: Call) -> Reply:
        reply = _REFUSALS.get(fault, _INTERNAL).reply(call.request)
        return replace(reply, status=200) if fault in {Fault.ERROR_IN_200, Fault.ERROR_IN_200_AFTER} else reply


@asynccontextmanager
async def before_s3(server: AwsServer, plan: Plan = no_faults) -> AsyncIterator[S3Proxy]:
    """Stand before a server whose credentials are known, until the block ends and what is late has happened."""
    async with line_to_the_server() as http, standing(S3Proxy(server, plan, http)) as proxy:
        yield proxy
