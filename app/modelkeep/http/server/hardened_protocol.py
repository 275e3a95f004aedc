"""The guard at the connection: what cannot become a request takes neither time nor memory from those that can.

The server's own protocol waits for ever for the end of a head, keeps whatever a head holds, and reads to its end a body
that nobody wants. Here heads are bounded in time and size, and a connection whose request was answered before it had
arrived ends. What is refused here is answered by the app like everything else: as a request that carries its refusal.
"""

import asyncio
import gc
import random
import resource
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modelkeep.domain.errors import HeaderFieldsTooLargeError, MalformedError, MalformedPathError, RegistryError
from modelkeep.http.context import context_of

HEADER_TIMEOUT_SECONDS: Final = 10.0
"""From the opening of a connection, or from the first byte of a further request, to the end of its head."""

TIMEOUT_JITTER_SECONDS: Final = 2.0
"""Somewhat longer for some: thousands of connections that were opened at once do not end at once."""

MAX_HEADER_BYTES: Final = 32 * 1024
"""Bytes of a head, trailers included; and of what a body comes wrapped in, between two pieces of it."""

DRAIN_SECONDS: Final = 3.0
MAX_DRAINED: Final = 8 * 1024 * 1024
"""So long, and so many bytes, a client may go on sending what nobody wants, and still read why."""

_GARBAGE_THRESHOLD: Final = 10_000
"""Objects by which a process grows before Python looks for garbage among them; its own default is 700."""


def raise_connection_limits() -> None:
    """Let this process open as many files as it may, for each connection is one, and look for garbage less often.

    A connection is some thirty objects: with Python's own threshold, thousands of new ones would have it look through
    all objects several times, for up to 0.2 s, and nobody is served meanwhile.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(_GARBAGE_THRESHOLD)


class LingeringTransport(asyncio.Transport):
    """A connection that, while its client may still be sending, ends in two steps: first only what goes out ends.

    A socket closed with unread bytes is reset, and a reset takes back the answer that the client has not read yet.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.is_client_sending = False
        self._transport = transport
        self._lingers = False
        self._drained = 0

    def close(self) -> None:
        """End the connection once all is written, and for a client that is sending, once it has had time to notice."""
        if self.is_closing():
            return
        if not self.is_client_sending:
            self._transport.close()
            return
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._transport.abort)

    def drain(self, size: int) -> None:
        """Note that so many bytes came that nobody wants; too many of them end the connection at once."""
        self._drained += size
        if self._drained > MAX_DRAINED:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Nothing more goes out."""
        return self._lingers or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, unless the connection is ending."""
        if not self.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the server asks about the socket."""
        return self._transport.get_extra_info(name, default)


class HardenedHttpProtocol(HttpToolsProtocol):
    """One client's connection. Its heads are bounded in time and size, and it ends with a request that is not read."""

    transport: LingeringTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_due: asyncio.TimerHandle | None = None
        self._head_size = 0
        self._unparsed = 0
        self._body_due = False
        self._refused = False
        self._kept = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(LingeringTransport(transport))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._stop_awaiting_head()

    def data_received(self, data: bytes) -> None:
        """Read on, unless all that comes is unwanted."""
        if self._refused or self.transport.is_closing():
            self.transport.drain(len(data))
            return
        if not self._body_due:
            self._await_head()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEADER_BYTES and not self._refused:
            self._refuse(HeaderFieldsTooLargeError(MAX_HEADER_BYTES))

    def send_400_response(self, _: str) -> None:
        """Refuse what the parser does not take."""
        too_large = self._head_size > MAX_HEADER_BYTES
        self._refuse(HeaderFieldsTooLargeError(MAX_HEADER_BYTES) if too_large else MalformedError())

    def on_message_begin(self) -> None:
        """Wait for the head that has begun."""
        super().on_message_begin()
        self._head_size = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take in some of the target."""
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a field of the head, or of the trailers."""
        self._measure(len(name) + len(": ") + len(value) + len("\r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, but refuse a fragment: the parser drops it, and no client sends one.

        An answer that begins before the body has arrived ends the connection.
        """
        super().on_headers_complete()
        if b"#" in self.url:
            _reject(self.scope, MalformedPathError())
        self._stop_awaiting_head()
        self._unparsed = 0
        self._body_due = self.transport.is_client_sending = True
        self._kept, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        """Take in some of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Keep the connection, if the answer has not begun and nothing else speaks against it."""
        super().on_message_complete()
        self._unparsed = 0
        self._body_due = self.transport.is_client_sending = False
        self.cycle.keep_alive = self._kept and not self.cycle.response_started

    def _await_head(self) -> None:
        if self._head_due is None:
            patience = HEADER_TIMEOUT_SECONDS + random.uniform(0, TIMEOUT_JITTER_SECONDS)  # noqa: S311 -- not for secrets
            self._head_due = self.loop.call_later(patience, self._give_up_head)

    def _stop_awaiting_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _give_up_head(self) -> None:
        """End the connection now or after the answer under way; for a head whose rest is not read yet, wait again."""
        self._head_due = None
        if self.flow.read_paused:
            self._await_head()
        else:
            self.shutdown()

    def _measure(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEADER_BYTES:
            raise HeaderFieldsTooLargeError(MAX_HEADER_BYTES)

    def _refuse(self, error: RegistryError) -> None:
        """Read nothing more, and let the app answer in its turn: the request whose body it is, or else one more."""
        self._refused = self.transport.is_client_sending = True
        self._stop_awaiting_head()
        if self._body_due:
            _reject(self.cycle.scope, error)
            self.cycle.message_event.set()
            return
        super().on_message_begin()
        self.scope["method"], self.scope["path"] = "-", ""
        self.scope["raw_path"] = self.scope["query_string"] = b""
        _reject(self.scope, error)
        is_free = self.cycle is None or self.cycle.response_complete
        self.cycle = self._cycle_without_parser()
        if is_free:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle_without_parser(self) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )


def _reject(scope: HTTPScope, error: RegistryError) -> None:
    context_of(cast("Scope", scope)).rejection = error
