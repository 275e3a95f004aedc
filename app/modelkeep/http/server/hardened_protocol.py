"""Hardens the server's HTTP protocol against slowloris: slow or endless headers, and bodies that no route wants.

uvicorn's own protocol waits for ever for the end of a header section, keeps whatever it holds, and reads an unwanted
body to its end. Here header sections are bounded in time and size, and a connection ends with a request that was
answered before it had arrived. A rejection is answered by the app like everything else: as a request whose context
carries the error.
"""

import asyncio
import random
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modelkeep.domain.errors import HeaderFieldsTooLargeError, MalformedError, MalformedPathError, RegistryError
from modelkeep.http.context import context_of
from modelkeep.http.server.response_watch import ResponseWatch

HEADER_TIMEOUT_SECONDS: Final = 10.0
"""From the opening of a connection, or from the first byte of a further request, to the end of its header section."""

TIMEOUT_JITTER_SECONDS: Final = 2.0
"""Added at random, up to this: thousands of connections that were opened at once do not end at once."""

MAX_HEADER_BYTES: Final = 32 * 1024
"""Bytes of a header section, trailers included; and of a body's framing between two pieces of it."""

DRAIN_SECONDS: Final = 3.0
MAX_DRAINED_BYTES: Final = 8 * 1024 * 1024
"""For how long, and how many bytes, a client may go on sending an unwanted body, so that it can still read why."""


class LingeringTransport(asyncio.Transport):
    """A connection with a lingering close: while its client may still be sending, only the outgoing half ends at first.

    A socket closed with unread bytes is reset, and a reset discards the answer that the client has not read yet.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self.is_client_sending = False
        self._transport = transport
        self._is_lingering = False
        self._drained_bytes = 0

    def close(self) -> None:
        """End the connection once everything is written; if the client is sending, after `DRAIN_SECONDS`."""
        if self.is_closing():
            return
        if not self.is_client_sending:
            self._transport.close()
            return
        self._is_lingering = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._transport.abort)

    def drain(self, size: int) -> None:
        """Count unwanted bytes; above `MAX_DRAINED_BYTES` the connection ends at once."""
        self._drained_bytes += size
        if self._drained_bytes > MAX_DRAINED_BYTES:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._is_lingering or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, unless the connection is ending."""
        if not self.is_closing():
            self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        """How many bytes wait for the client."""
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """End the connection at once; what waits is not sent."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading, so that the client has to wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the server asks about the socket."""
        return self._transport.get_extra_info(name, default)


class HardenedHttpProtocol(HttpToolsProtocol):
    """One client's connection. Header sections are bounded in time and size; a request that is not read ends it."""

    transport: LingeringTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch: ResponseWatch = self.app_state["response_watch"]
        self._header_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._unparsed_bytes = 0
        self._is_body_pending = False
        self._is_rejected = False
        self._may_keep_alive = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first header section."""
        super().connection_made(LingeringTransport(transport))
        self._watch.connections.add(self)
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._watch.connections.discard(self)
        self._stop_header_timer()

    def data_received(self, data: bytes) -> None:
        """Parse what arrives; count it only, once the request has been rejected or the connection is ending."""
        if self._is_rejected or self.transport.is_closing():
            self.transport.drain(len(data))
            return
        if not self._is_body_pending:
            self._start_header_timer()
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > MAX_HEADER_BYTES and not self._is_rejected:
            self._reject(HeaderFieldsTooLargeError(MAX_HEADER_BYTES))

    def send_400_response(self, _: str) -> None:
        """Reject what the parser does not accept."""
        is_too_large = self._header_bytes > MAX_HEADER_BYTES
        self._reject(HeaderFieldsTooLargeError(MAX_HEADER_BYTES) if is_too_large else MalformedError())

    def on_message_begin(self) -> None:
        """Wait for the header section that has begun."""
        super().on_message_begin()
        self._header_bytes = 0
        self._start_header_timer()

    def on_url(self, url: bytes) -> None:
        """Take in a piece of the target."""
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a header field or a trailer field."""
        self._count_header_bytes(len(name) + len(": ") + len(value) + len("\r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request, but reject a fragment: the parser drops it, and no client sends one.

        An answer that begins before the body has arrived ends the connection.
        """
        super().on_headers_complete()
        if b"#" in self.url:
            _set_rejection(self.scope, MalformedPathError())
        self._stop_header_timer()
        self._unparsed_bytes = 0
        self._is_body_pending = self.transport.is_client_sending = True
        self._may_keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Keep the connection alive if the answer has not begun and the client wants it kept."""
        super().on_message_complete()
        self._unparsed_bytes = 0
        self._is_body_pending = self.transport.is_client_sending = False
        self.cycle.keep_alive = self._may_keep_alive and not self.cycle.response_started

    def _start_header_timer(self) -> None:
        if self._header_timer is None:
            timeout = HEADER_TIMEOUT_SECONDS + random.uniform(0, TIMEOUT_JITTER_SECONDS)  # noqa: S311 -- not for secrets
            self._header_timer = self.loop.call_later(timeout, self._on_header_timeout)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _on_header_timeout(self) -> None:
        """End the connection, now or after the answer under way; wait again if the rest has not been read yet."""
        self._header_timer = None
        if self.flow.read_paused:
            self._start_header_timer()
        else:
            self.shutdown()

    def _count_header_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HeaderFieldsTooLargeError(MAX_HEADER_BYTES)

    def _reject(self, error: RegistryError) -> None:
        """Read nothing more, and let the app answer in turn: the request whose body this is, or else one of its own."""
        self._is_rejected = self.transport.is_client_sending = True
        self._stop_header_timer()
        if self._is_body_pending:
            _set_rejection(self.cycle.scope, error)
            self.cycle.message_event.set()
            return
        super().on_message_begin()
        self.scope["method"], self.scope["path"] = "-", ""
        self.scope["raw_path"] = self.scope["query_string"] = b""
        _set_rejection(self.scope, error)
        is_idle = self.cycle is None or self.cycle.response_complete
        self.cycle = self._cycle_without_parser()
        if is_idle:
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


def _set_rejection(scope: HTTPScope, error: RegistryError) -> None:
    context_of(cast("Scope", scope)).rejection = error
