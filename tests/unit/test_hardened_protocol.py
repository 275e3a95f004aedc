"""What the connections take from uvicorn that uvicorn does not promise. A release without it fails here first."""

import asyncio
import inspect
import re
from typing import Final

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from modelkeep.http.server.hardened_protocol import HardenedHttpProtocol, LingeringTransport
from modelkeep.http.server.response_watch import ResponseWatch

OVERRIDDEN: Final = {
    "connection_made",
    "connection_lost",
    "data_received",
    "send_400_response",
    "on_message_begin",
    "on_url",
    "on_header",
    "on_headers_complete",
    "on_body",
    "on_message_complete",
}
"""Methods of the protocol that are called by asyncio, by httptools or by the protocol itself."""

USED: Final = {
    "_start_asgi_task",
    "access_log",
    "access_logger",
    "app",
    "app_state",
    "cycle",
    "cycle.keep_alive",
    "cycle.message_event",
    "cycle.response_complete",
    "cycle.response_started",
    "cycle.scope",
    "flow",
    "flow.read_paused",
    "logger",
    "loop",
    "on_response_complete",
    "pipeline",
    "scope",
    "server_state",
    "server_state.default_headers",
    "shutdown",
    "transport",
    "url",
}
"""Attributes of the protocol, and of what it holds."""

HOLDERS: Final = {"cycle", "flow", "server_state"}
"""Attributes whose own attributes are uvicorn's as well."""

OF_A_CYCLE: Final = {
    "scope",
    "transport",
    "flow",
    "logger",
    "access_logger",
    "access_log",
    "default_headers",
    "message_event",
    "expect_100_continue",
    "keep_alive",
    "on_response",
}
"""What a `RequestResponseCycle` is made of."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers nothing."""


def connected(kind: type[HttpToolsProtocol]) -> HttpToolsProtocol:
    """A connection whose first request has begun, over no socket."""
    state = {"response_watch": ResponseWatch(lambda: None)}
    protocol = kind(config=uvicorn.Config(app), server_state=ServerState(), app_state=state)
    protocol.connection_made(LingeringTransport(asyncio.Transport()))
    protocol.on_message_begin()
    return protocol


async def test_every_name_of_uvicorn_that_is_used_is_there() -> None:
    plain = connected(HttpToolsProtocol)
    assert {name for name in OVERRIDDEN if not callable(getattr(HttpToolsProtocol, name, None))} == set()
    plain.cycle = cycle_of(plain)
    assert {name for name in USED if not has(plain, *name.split("."))} == set()


def has(holder: object, name: str, *further: str) -> bool:
    return hasattr(holder, name) and (not further or has(getattr(holder, name), *further))


def cycle_of(protocol: HttpToolsProtocol) -> RequestResponseCycle:
    return HardenedHttpProtocol._cycle_without_parser(protocol)  # type: ignore[arg-type]


def test_a_cycle_is_made_of_what_it_is_given() -> None:
    assert set(inspect.signature(RequestResponseCycle).parameters) == OF_A_CYCLE


async def test_the_lists_name_all_that_is_used() -> None:
    source = inspect.getsource(HardenedHttpProtocol)
    plain, hardened = vars(connected(HttpToolsProtocol)), vars(connected(HardenedHttpProtocol))
    own = (hardened.keys() | vars(HardenedHttpProtocol)) - plain.keys() - OVERRIDDEN
    found = set()
    for name, member in re.findall(r"\bself\.(\w+)(?:\.(\w+))?", source):
        found |= {name, f"{name}.{member}"} if name in HOLDERS and member else {name}
    assert found - own == USED
    overridden = vars(HardenedHttpProtocol).keys() & vars(HttpToolsProtocol).keys()
    assert {name for name in overridden if not name.startswith("__")} == OVERRIDDEN
    assert set(re.findall(r"super\(\)\.(\w+)", source)) <= {*OVERRIDDEN, "__init__"}
    made = source.partition("return RequestResponseCycle(")[2]
    assert set(re.findall(r"(\w+)=", made)) == OF_A_CYCLE
