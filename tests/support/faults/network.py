"""What a network, and what stands in it, can do to a request: the faults that a `Proxy` takes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.support.faults.proxy import Fault, Forward, LostError, Reply, Request

_BLOCK = 64 * 1024


def passes(request: Request, forward: Forward) -> Reply:
    """Nothing is wrong; for a rule that only slows down."""
    return forward(request)


def drops(request: Request, forward: Forward) -> Reply:
    """The request never arrives."""
    raise LostError


def loses_the_reply(request: Request, forward: Forward) -> Reply:
    """It takes effect, and nobody learns of it."""
    forward(request)
    raise LostError


def answers(status: int, body: bytes | str = b"", **headers: str) -> Fault:
    """Something before the server answers."""
    content = body.encode() if isinstance(body, str) else body
    reply = Reply(status=status, headers=_named(headers), body=content)
    return lambda request, forward: reply


def problem(status: int, code: str, /, **fields: object) -> Fault:
    """The registry refuses."""
    body = json.dumps({"code": code, "status": status, "detail": f"This is {code}.", **fields})
    return answers(status, body, content_type="application/problem+json", retry_after="0")


def rewrites(change: Callable[[Any], Any]) -> Fault:
    """The JSON of the answer is another one."""
    return changes_the_body(lambda body: json.dumps(change(json.loads(body))).encode())


def changes_the_body(change: Callable[[bytes], bytes]) -> Fault:
    """The body of the answer is another one, and its length as announced."""

    def fault(request: Request, forward: Forward) -> Reply:
        reply = forward(request)
        body = change(reply.body)
        return replace(reply, body=body, headers={**reply.headers, "content-length": str(len(body))})

    return fault


def changes_headers(**headers: str) -> Fault:
    """These headers of the answer are others."""
    return changes(lambda reply: replace(reply, headers={**reply.headers, **_named(headers)}))


def changes(change: Callable[[Reply], Reply]) -> Fault:
    """The answer is another one."""
    return lambda request, forward: change(forward(request))


def flips_a_byte(at: int = 0) -> Fault:
    """A byte of the answer is another one."""
    return changes(lambda reply: replace(reply, body=_flipped(reply.body, at)))


def flips_a_byte_on_its_way_up(at: int = 0) -> Fault:
    """A byte of the request is another one."""

    def fault(request: Request, forward: Forward) -> Reply:
        request.body = _flipped(request.body, at)
        return forward(request)

    return fault


def cuts(after: int) -> Fault:
    """The connection breaks after so many bytes of the body."""

    def blocks(body: bytes) -> Iterator[bytes]:
        yield body[:after]
        raise LostError

    return changes(lambda reply: replace(reply, blocks=blocks))


def stalls(seconds: float, *, after: int = 0) -> Fault:
    """No more bytes come for so long."""

    def blocks(body: bytes) -> Iterator[bytes]:
        yield body[:after]
        time.sleep(seconds)
        yield body[after:]

    return changes(lambda reply: replace(reply, blocks=blocks))


def sleeps(seconds: float) -> Fault:
    """Nothing happens for so long, and then the connection breaks."""

    def fault(request: Request, forward: Forward) -> Reply:
        time.sleep(seconds)
        raise LostError

    return fault


def trickles(pause: float, *, block: int = _BLOCK) -> Fault:
    """The body comes slowly."""

    def blocks(body: bytes) -> Iterator[bytes]:
        for start in range(0, len(body), block):
            time.sleep(pause)
            yield body[start : start + block]

    return changes(lambda reply: replace(reply, blocks=blocks))


def never_ends(status: int, block: bytes = b"x" * _BLOCK, **headers: str) -> Fault:
    """The answer has no end; for the sake of the machine it has one after 64 MiB."""

    def blocks(body: bytes) -> Iterator[bytes]:
        for _ in range(64 * 1024 * 1024 // len(block)):
            yield b"%x\r\n%s\r\n" % (len(block), block)

    reply = Reply(status=status, headers={"transfer-encoding": "chunked", **_named(headers)}, blocks=blocks)
    return lambda request, forward: reply


def ignores_ranges(request: Request, forward: Forward) -> Reply:
    """Storage that sends the whole object whatever is asked for."""
    request.headers.pop("range", None)
    return forward(request)


def _flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
