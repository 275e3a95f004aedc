"""What stands before a server that speaks an AWS protocol, and lets a plan say what befalls each request."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
from yarl import URL

from tests.support.faults.aws import Fault, Plan
from tests.support.faults.http_server import Line, listening
from tests.support.faults.proxy import LostError, Reply, Request

_OF_THE_CONNECTION: Final = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
_OWN_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_IDLE_SECONDS: Final = 2


class Call(NamedTuple):
    """A request, read."""

    request: Request
    operation: str
    parameters: Mapping[str, Any]


class Asked(NamedTuple):
    """One request, and what befell it."""

    operation: str
    fault: Fault


class AwsProxy(ABC):
    """Stands at `endpoint`, in the event loop of whoever opened it.

    `plan` may be set at any time, and so may `delay`: about how many seconds late an answer or an effect is.
    `requests` notes every request in order. A plan that wants what never befalls an operation is told so by a
    `ValueError` where the proxy was opened.
    """

    def __init__(self, behind: str, plan: Plan, http: aiohttp.ClientSession) -> None:
        self.endpoint = ""
        self.plan = plan
        self.delay = 0.05
        self.requests: list[Asked] = []
        self._behind = behind
        self._http = http
        self._late: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Future[Reply]] = set()

    async def quiesce(self) -> None:
        """Return once every effect has happened: what is late, and what its caller did not wait for."""
        while self._late or self._under_way:
            await asyncio.gather(*self._late)
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def met(self, operation: str) -> list[Fault]:
        """What befell the requests to an operation, in order."""
        return [each.fault for each in self.requests if each.operation == operation]

    @abstractmethod
    def _read(self, request: Request) -> Call:
        """Tell which operation it is."""

    @abstractmethod
    def _refusal(self, fault: Fault, call: Call) -> Reply:
        """Word an error as the service does."""

    async def _effect(self, call: Call) -> Reply:
        """Let a request have its effect. Raises `LostError` if the server behind gives no answer."""
        return await self._forward(call.request)

    async def _forward(self, request: Request) -> Reply:
        headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_CONNECTION}
        url = URL(self._behind + request.target, encoded=True)
        body = BytesIO(request.body) if request.body else None
        sending = self._http.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        try:
            async with sending as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise LostError from error
        received = {name.lower(): value for name, value in answer.headers.items()}
        length = received.get("content-length", "0") if request.method == "HEAD" else str(len(content))
        kept = {name: value for name, value in received.items() if name not in _OF_THE_CONNECTION}
        return Reply(status=answer.status, headers=kept | {"content-length": length}, body=content)

    async def answer(self, request: Request, line: Line) -> None:
        """Let happen what the plan says."""
        call = self._read(request)
        fault = self.plan(call.operation, call.parameters)
        if not fault.befalls(call.operation):
            raise ValueError(f"{fault} never befalls {call.operation}")
        self.requests.append(Asked(call.operation, fault))
        try:
            await self._meet(fault, call, line)
        except LostError:
            line.close()

    async def _meet(self, fault: Fault, call: Call, line: Line) -> None:
        match fault:
            case Fault.REQUEST_LOST:
                raise LostError
            case Fault.RESET:
                line.reset()
            case Fault.HANGING:
                await line.gone.wait()
            case Fault.LATE:
                self._later(self._effect(call))
                raise LostError
            case _ if fault.has_effect:
                self._under_way.add(effect := asyncio.ensure_future(self._effect(call)))
                effect.add_done_callback(self._under_way.discard)
                await self._reply(fault, call, await effect, line)
            case _:
                line.send(self._refusal(fault, call))

    async def _reply(self, fault: Fault, call: Call, reply: Reply, line: Line) -> None:
        match fault:
            case Fault.NONE:
                line.send(reply)
            case Fault.DELAYED:
                await asyncio.sleep(self.delay)
                line.send(reply)
            case Fault.HALF_REPLY:
                line.send_half(reply)
            case Fault.REPLY_LOST:
                raise LostError
            case _:
                line.send(self._refusal(fault, call))

    def _later(self, effect: Awaitable[Reply]) -> None:
        async def happen() -> None:
            await asyncio.sleep(self.delay * random.uniform(0.5, 1.5))
            with suppress(LostError):
                await effect

        task = asyncio.create_task(happen())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


P = TypeVar("P", bound=AwsProxy)


@asynccontextmanager
async def standing(proxy: P) -> AsyncIterator[P]:
    """Let it answer until the block ends, and wait then for what is late."""
    async with listening(proxy.answer) as proxy.endpoint:
        try:
            yield proxy
        finally:
            await proxy.quiesce()


@asynccontextmanager
async def line_to_the_server() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that adds nothing to a request, and takes nothing from an answer."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_OWN_HEADERS,
        timeout=aiohttp.ClientTimeout(total=60),
    ) as http:
        yield http
