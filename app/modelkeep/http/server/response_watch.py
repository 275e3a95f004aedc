"""Ends connections whose client does not read (slow read): each would hold memory and a socket for as long as it likes.

The kernel has no limit for it that works everywhere: SO_SNDTIMEO is for sockets that block, and before Linux 5.11
TCP_USER_TIMEOUT does not end a connection whose client keeps its window closed.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelkeep.http.context import context_of

STALL_TIMEOUT_SECONDS: Final = 60.0
"""For how long a client may take in nothing of a response that waits for it."""

SWEEP_SECONDS: Final = 5.0
"""Between two looks at all connections: a response stands still for up to this much longer."""

_BYTES_ACKED: Final = slice(120, 128)
"""The place of `tcpi_bytes_acked` in Linux's `struct tcp_info`: https://man7.org/linux/man-pages/man7/tcp.7.html"""

_RESET: Final = struct.pack("ii", 1, 0)
"""As SO_LINGER: closing discards what the kernel holds, megabytes that it would offer to the client for minutes."""

_log = structlog.get_logger("modelkeep.connections")


@dataclass(frozen=True, slots=True)
class _Progress:
    """What a client had taken in at a moment, and since when it has taken in nothing more."""

    acknowledged: int
    buffered: int
    since: float


class ResponseWatch:
    """Looks at the connections of one process every few seconds, so that no write has to start or stop a timer.

    A response stands still while bytes wait in the process and the client's system acknowledges none. One byte in a
    minute is enough to go on: what is slow is not cut off.
    """

    def __init__(self, on_stalled: Callable[[], None]) -> None:
        self.connections: set[HttpToolsProtocol] = set()
        self._on_stalled = on_stalled
        self._waiting: dict[HttpToolsProtocol, _Progress] = {}

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """Until the block ends, sweep again and again."""
        loop = asyncio.get_running_loop()

        def sweep_and_go_on() -> None:
            self._timer = loop.call_later(SWEEP_SECONDS, sweep_and_go_on)
            self.sweep(loop.time())

        self._timer = loop.call_later(SWEEP_SECONDS, sweep_and_go_on)
        try:
            yield
        finally:
            self._timer.cancel()

    def sweep(self, now: float) -> None:
        """End each connection whose response has stood still for too long."""
        waiting = [each for each in self.connections if each.transport.get_write_buffer_size()]
        self._waiting = {each: self._progress(each, now) for each in waiting}
        for connection, progress in self._waiting.items():
            if now - progress.since >= STALL_TIMEOUT_SECONDS:
                self._end(connection, progress.buffered)

    def _progress(self, connection: HttpToolsProtocol, now: float) -> _Progress:
        acknowledged, buffered = _acknowledged(connection.transport), connection.transport.get_write_buffer_size()
        before = self._waiting.get(connection)
        stands = before and acknowledged <= before.acknowledged and buffered >= before.buffered
        return _Progress(acknowledged, buffered, before.since if before and stands else now)

    def _end(self, connection: HttpToolsProtocol, buffered: int) -> None:
        request_id = context_of(cast("Scope", connection.cycle.scope)).request_id
        _log.warning("response_stalled", request_id=request_id, unread_bytes=buffered)
        self._on_stalled()
        self.connections.discard(connection)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.transport.abort()


def _acknowledged(transport: asyncio.Transport) -> int:
    """How many bytes the client's system has acknowledged; 0 where the kernel does not say."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    info: bytes = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
