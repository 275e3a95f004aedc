"""An HTTP server of asyncio whose answers may be half, late or none: for proxies that misbehave on purpose."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import httptools

from tests.support.faults.proxy import Reply, Request

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Line(asyncio.Protocol):
    """A caller's connection: one request after the other, each answered by `send` or by an end of the connection."""

    def __init__(self, answer: "Answer", tasks: set[asyncio.Task[None]]) -> None:
        self._answer = answer
        self._tasks = tasks
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_begin(self) -> None:
        self._target, self._body = b"", bytearray()
        self._headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        path, _, query = self._target.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=path,
            query=query,
            headers=self._headers,
            body=bytes(self._body),
        )
        task = asyncio.ensure_future(self._answer(request, self))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, reply: Reply) -> None:
        """The whole answer."""
        self._transport.write(_head(reply) + reply.body)

    def send_half(self, reply: Reply) -> None:
        """Half of the body, or of the head where there is no body, and the end of the connection."""
        head = _head(reply)
        self._transport.write(head + reply.body[: len(reply.body) // 2] if reply.body else head[: len(head) // 2])
        self.close()

    def close(self) -> None:
        """The end of the connection."""
        self._transport.close()

    def reset(self) -> None:
        """The same, by a TCP reset."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def drop(self) -> None:
        """The end of the connection, whatever was still to be sent."""
        self._transport.abort()


Answer = Callable[[Request, Line], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """Serve on loopback until the block ends, and raise then what an answer raised."""
    tasks: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []
    lines: list[Line] = []

    async def noted(request: Request, line: Line) -> None:
        try:
            await answer(request, line)
        except Exception as failure:  # noqa: BLE001 -- raised where the block ends
            failures.append(failure)
            line.close()

    def connected() -> Line:
        lines.append(line := Line(noted, tasks))
        return line

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for line in lines:
            line.drop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
