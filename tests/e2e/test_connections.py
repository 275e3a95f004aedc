"""Connections that do not become requests, byte for byte over a socket, at the program on the embedded store."""

import asyncio
import json
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from modelkeep.http.middleware import request_limits
from modelkeep.http.server import hardened_protocol, response_watch
from tests.support.backends import local_environment
from tests.support.processes import short_timeouts
from tests.support.programs import EXECUTABLE, Server, serving
from tests.support.servers import free_port
from tests.support.stores import digest_of

KIB, MIB = 1024, 1024 * 1024
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATCH = b"PATCH /v1/models/absent HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = PATCH + b"Transfer-Encoding: chunked\r\n\r\n"

SHORT_TIMEOUTS: list[str | Path] = [sys.executable, "-m", "tests.support.processes.short_timeouts"]


@dataclass
class Answer:
    """One answer on a connection."""

    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str:
        """The code of the problem that this must be, whole."""
        assert "content-type: application/problem+json" in self.head
        assert "\r\nserver:" not in self.head
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert f"x-request-id: {problem['request_id']}" in self.head
        return str(problem["code"])


class Client:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._began = time.monotonic()

    async def say(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send these pieces, with a pause after each, until the connection ends."""
        with suppress(ConnectionError):
            for piece in pieces:
                self._writer.write(piece)
                await self._writer.drain()
                await asyncio.sleep(pause)

    async def is_cut_off(self, *pieces: bytes) -> bool:
        """Whether the service does not take them all."""
        try:
            for piece in pieces:
                self._writer.write(piece)
                await self._writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            return True
        return False

    async def answer(self) -> Answer:
        """Read one answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        return Answer(int(head.split()[1]), head, await self._reader.readexactly(int(length[1]) if length else 0))

    async def last_answer(self) -> Answer:
        """Read one answer, which says that it is the last one, and the end."""
        answer = await self.answer()
        assert "connection: close" in answer.head
        await self.ends()
        return answer

    async def ends(self) -> float:
        """Read the end of the connection, before which nothing may come, and return its age in seconds."""
        with suppress(ConnectionError):
            assert await asyncio.wait_for(self._reader.read(), 20) == b""
        return time.monotonic() - self._began

    async def leave(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


Connect = Callable[[Server], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections to a server, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def connect_to(server: Server) -> Client:
            client = Client(*await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2])))
            stack.push_async_callback(client.leave)
            return client

        yield connect_to


def start(
    tmp_path: Path, command: list[str | Path], *, workers: int = 1, more: Mapping[str, str] = {}
) -> AbstractContextManager[Server]:
    port = free_port()
    options = ["serve", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    variables = local_environment(tmp_path / "data") | {"MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{port}", **more}
    return serving([*command, *options], variables, port=port, log=tmp_path / "log")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program, with short timeouts."""
    with start(tmp_path_factory.mktemp("service"), SHORT_TIMEOUTS) as server:
        server.wait("/readyz")
        yield server


@pytest.fixture
async def client(server: Server, connect: Connect) -> Client:
    return await connect(server)


@pytest.fixture(scope="module")
def patient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program, which waits for whoever sends slowly."""
    with start(tmp_path_factory.mktemp("patient"), SHORT_TIMEOUTS, more={short_timeouts.READ_PATIENTLY: "1"}) as server:
        server.wait("/readyz")
        yield server


@pytest.fixture
async def unhurried_client(patient_server: Server, connect: Connect) -> Client:
    """A client that may take its time."""
    return await connect(patient_server)


def test_the_program_waits_ten_seconds_for_a_header_section() -> None:
    """The tests below run with shorter ones."""
    assert (
        hardened_protocol.HEADER_TIMEOUT_SECONDS,
        hardened_protocol.TIMEOUT_JITTER_SECONDS,
        hardened_protocol.DRAIN_SECONDS,
    ) == (
        10,
        2,
        3,
    )
    assert (response_watch.STALL_TIMEOUT_SECONDS, response_watch.SWEEP_SECONDS) == (60, 5)
    assert (request_limits.BODY_TIMEOUT_SECONDS, request_limits.BODY_IDLE_TIMEOUT_SECONDS) == (30, 60)


async def test_waiting_for_a_header_section_times_out(server: Server, connect: Connect) -> None:
    silent, speaking, trickling, kept = [await connect(server) for _ in range(4)]
    await kept.say(GET)
    assert (await kept.answer()).status == 200
    pause = short_timeouts.HEAD_SECONDS / 40
    await asyncio.gather(
        speaking.say(GET[:20]), kept.say(GET[:1]), trickling.say(*[b"GET /"], *[b"a"] * 36, pause=pause)
    )
    for each in (silent, speaking, trickling, kept):
        assert short_timeouts.HEAD_SECONDS <= await each.ends() < short_timeouts.HEAD_SECONDS + 10


async def test_an_idle_connection_is_kept_and_each_header_section_has_its_own_timeout(client: Client) -> None:
    for _ in range(2):
        await client.say(GET[:5], pause=short_timeouts.HEAD_SECONDS / 2)
        await client.say(GET[5:])
        assert (await client.answer()).status == 200
        await asyncio.sleep(1.5 * short_timeouts.HEAD_SECONDS)
    began = time.monotonic()
    await client.say(GET[:5])
    await client.ends()
    assert short_timeouts.HEAD_SECONDS <= time.monotonic() - began < short_timeouts.HEAD_SECONDS + 10


async def test_empty_lines_do_not_keep_a_connection(client: Client) -> None:
    await client.say(GET)
    await client.answer()
    await client.say(*[b"\r\n"] * 24, pause=short_timeouts.HEAD_SECONDS / 4)
    assert await client.ends() < 6 * short_timeouts.HEAD_SECONDS


LONG = b"a" * 33 * KIB


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"GET /", LONG, b" HTTP/1.1\r\n\r\n"], id="target"),
        pytest.param([GET[:-2] + b"X-Long: " + LONG + b"\r\n\r\n"], id="whole"),
        pytest.param([GET[:-2] + b"X-Long: " + LONG + b"\r\n\r\n" + b"x" * 200 * KIB], id="whole, and more"),
        pytest.param([GET[:-2] + b"X-Long: ", LONG], id="without an end"),
        pytest.param([GET[:-2], b"X-Long: ", *[b"a" * KIB] * 33], id="in pieces"),
        pytest.param([GET[:-2], *[b"X-Many: a\r\n" * 100] * 40], id="many"),
        pytest.param([b"\r\n" * 17 * KIB], id="empty lines"),
        pytest.param([CHUNKED, b"0\r\nX-Trailer: " + LONG + b"\r\n\r\n"], id="trailer"),
        pytest.param([CHUNKED, b"2\r\n{}\r\n0\r\nX-Trailer: ", *[b"a" * KIB] * 33], id="trailer in pieces"),
        pytest.param([CHUNKED, b"2", *[b";extension=" + b"a" * KIB] * 33], id="chunk extension"),
    ],
)
async def test_a_header_section_over_32_kib_is_rejected_and_not_read_on(
    unhurried_client: Client, pieces: list[bytes]
) -> None:
    await unhurried_client.say(*pieces, pause=0.001)
    answer = await unhurried_client.last_answer()
    assert (answer.status, answer.code) == (431, "header_fields_too_large")
    assert await unhurried_client.is_cut_off(*[b"a" * MIB] * 20)


async def test_a_header_section_of_almost_32_kib_is_served(unhurried_client: Client) -> None:
    for _ in range(3):  # a connection counts each head alone
        await unhurried_client.say(GET[:-2], b"X-Long: ", *[b"a" * KIB] * 31, b"\r\n\r\n")
        assert (await unhurried_client.answer()).status == 200


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([PATCH + b"Content-Length: 6291456\r\n\r\n", b"x" * 6 * MIB], 413, "request_too_large"),
        ([CHUNKED, *[b"100000\r\n" + b"x" * MIB + b"\r\n"] * 6], 413, "request_too_large"),
        ([b"POST /nowhere HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", b"x" * MIB], 404, "not_found"),
        (
            [b"PUT /local-store/a HTTP/1.1\r\nContent-Length: 6291456\r\n\r\n", b"x" * 6 * MIB],
            403,
            "signature_mismatch",
        ),
    ],
    ids=["announced", "chunked", "no such route", "not signed"],
)
async def test_a_client_that_sends_an_unwanted_body_can_read_why_and_is_then_cut_off(
    unhurried_client: Client, pieces: list[bytes], status: int, code: str
) -> None:
    await unhurried_client.say(*pieces)
    answer = await unhurried_client.last_answer()
    assert (answer.status, answer.code) == (status, code)
    assert await unhurried_client.is_cut_off(*[b"x" * MIB] * 20)


async def test_after_an_answer_to_half_a_request_the_connection_is_gone_soon(client: Client) -> None:
    await client.say(b"POST /nowhere HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
    assert (await client.last_answer()).status == 404
    assert not await client.is_cut_off(b"x")
    await asyncio.sleep(short_timeouts.DRAIN_SECONDS + 0.5)
    await client.say(b"x", pause=0.1)
    assert await client.is_cut_off(b"x")


async def test_a_body_that_does_not_arrive_ends_with_a_problem(server: Server, connect: Connect) -> None:
    stopped, trickling = [await connect(server) for _ in range(2)]
    await stopped.say(PATCH + b"Content-Length: 100\r\n\r\n{")
    await trickling.say(CHUNKED, *[b"1\r\n \r\n"] * 6, pause=short_timeouts.BODY_SECONDS / 5)
    for each in (stopped, trickling):
        answer = await each.last_answer()
        assert (answer.status, answer.code) == (408, "request_timeout")


async def upload(server: Server, model: str, content: bytes) -> bytes:
    """The head of a request that stores the content."""
    artifact = {"path": "a", "size": len(content), "sha256": digest_of(content).hex}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        begun = (await http.post(f"/v1/models/{model}/versions", json={"artifacts": [artifact]})).json()
    signed = begun["artifacts"][0]["upload"]
    lines = [f"PUT {signed['url'].removeprefix(server.url)} HTTP/1.1", "Host: localhost"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in signed["headers"].items()), "", ""]).encode()


async def test_an_upload_may_take_longer_but_not_pause(server: Server, connect: Connect) -> None:
    slow, silent = [await connect(server) for _ in range(2)]
    content = b"0123456789"
    await silent.say(await upload(server, "silent", content), content[:5])
    await slow.say(await upload(server, "slow", content))
    await slow.say(*[content[at : at + 1] for at in range(10)], pause=short_timeouts.BODY_SECONDS / 6)
    assert (await slow.answer()).status == 200
    answer = await silent.last_answer()
    assert (answer.status, answer.code) == (408, "request_timeout")


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"how do you do?\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        CHUNKED + b"two\r\n{}\r\n",
        CHUNKED + b"2\r\n{}\r\ntwo\r\n",
    ],
)
async def test_input_that_is_not_http_is_a_problem(client: Client, said: bytes) -> None:
    await client.say(said)
    answer = await client.last_answer()
    assert (answer.status, answer.code) == (400, "malformed")


async def test_pipelined_requests_are_answered_in_turn_and_what_follows_them_last(client: Client) -> None:
    body = b"Content-Length: 2\r\n\r\n{}"
    await client.say(GET + PATCH + body + GET + b"nonsense\r\n\r\n")
    assert [(await client.answer()).status for _ in range(3)] == [200, 404, 200]
    assert (await client.last_answer()).code == "malformed"


async def test_a_body_is_requested_only_if_a_route_reads_it(server: Server, connect: Connect) -> None:
    wanted, unwanted = [await connect(server) for _ in range(2)]
    await wanted.say(PATCH + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (await wanted.answer()).status == 100
    await wanted.say(b"{}" + GET)
    assert [(await wanted.answer()).status for _ in range(2)] == [404, 200]
    await unwanted.say(PATCH + b"Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n")
    assert (await unwanted.last_answer()).code == "request_too_large"


async def test_half_open_connections_do_not_hold_up_a_stop_and_a_request_under_way_is_served(
    tmp_path: Path, connect: Connect
) -> None:
    with start(tmp_path, [EXECUTABLE]) as server:
        server.wait("/readyz")
        under_way, half_open, silent = [await connect(server) for _ in range(3)]
        await half_open.say(GET[:20])
        await under_way.say(PATCH + b"Content-Length: 2\r\n\r\n{", pause=0.2)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(half_open.ends(), silent.ends())
        assert server.process.poll() is None
        await under_way.say(b"}")
        assert (await under_way.last_answer()).code == "model_not_found"
        assert await asyncio.to_thread(server.process.wait, 20) == 0


async def test_each_of_several_workers_hardens_its_connections(tmp_path: Path, connect: Connect) -> None:
    with start(tmp_path, SHORT_TIMEOUTS, workers=2) as server:
        server.wait("/readyz")
        for client in [await connect(server) for _ in range(12)]:
            await client.say(b"nonsense\r\n\r\n")
            assert (await client.last_answer()).code == "malformed"


async def test_as_many_files_may_be_open_as_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with start(tmp_path, [EXECUTABLE]) as server:
            server.wait("/readyz")
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def forget_peak(server: Server) -> None:
    """Let the most memory of the process be what it has now: https://docs.kernel.org/filesystems/proc.html"""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def resident(server: Server, name: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * KIB


@pytest.mark.parametrize("head", [GET[:-2] + b"X-Long: ", PATCH + b"Content-Length: 52428800\r\n\r\n"])
async def test_rejected_bytes_cost_no_memory(server: Server, client: Client, head: bytes) -> None:
    forget_peak(server)
    before = resident(server, "VmRSS")
    assert await client.is_cut_off(head, *[b"a" * MIB] * 50)
    assert resident(server, "VmHWM") - before < 5 * MIB


async def stored_file(server: Server, size: int) -> bytes:
    """A request for a file of so many bytes in the local store."""
    content = bytes(size)
    artifact = {"path": "a", "size": size, "sha256": digest_of(content).hex}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        versions = f"/v1/models/slow-{size}/versions"
        begun = (await http.post(versions, json={"artifacts": [artifact], "multipart": False})).json()
        signed = begun["artifacts"][0]["upload"]
        (await http.put(signed["url"], headers=signed["headers"], content=content)).raise_for_status()
        version = begun["version"]
        (await http.post(f"{versions}/{version}/complete")).raise_for_status()
        found = (await http.get(f"{versions}/{version}/download")).json()
    target = found["artifacts"][0]["url"].removeprefix(server.url)
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def slow_client(server: Server, request: bytes) -> socket.socket:
    """A client that takes little at a time, and has sent this."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
    client.settimeout(20)
    client.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    client.sendall(request)
    return client


async def stalled(server: Server) -> int:
    """How many responses stood still, so far."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        metrics = (await http.get("/metrics")).text
    return int(float(metrics.partition("\nmodelkeep_stalled_responses_total ")[2].split()[0]))


def is_reset(client: socket.socket) -> bool:
    """Whether what there is to read ends with a reset."""
    try:
        while client.recv(MIB):
            pass
    except ConnectionResetError:
        return True
    return False


PIPELINED: Final = 2_000


@pytest.mark.parametrize("what", ["a file", "answers of the API"])
async def test_a_response_that_nobody_reads_ends_its_connection(server: Server, what: str) -> None:
    before = await stalled(server)
    metrics = GET.replace(b"healthz", b"metrics")
    requests = await stored_file(server, 24 * MIB) if what == "a file" else metrics * PIPELINED
    with ExitStack() as stack:
        clients = [stack.enter_context(slow_client(server, requests)) for _ in range(3)]
        async with asyncio.timeout(20 * short_timeouts.STALL_SECONDS):
            while await stalled(server) < before + len(clients):
                pass
        assert all([await asyncio.to_thread(is_reset, client) for client in clients])
    assert server.said().count('"response_stalled"') == before + len(clients)


async def test_a_response_that_is_read_slowly_goes_on(server: Server) -> None:
    """So slowly that in all this time the kernel asks the process for no more."""
    before = await stalled(server)
    with slow_client(server, await stored_file(server, 8 * MIB)) as client:
        until = time.monotonic() + 2.5 * short_timeouts.STALL_SECONDS
        while time.monotonic() < until:
            assert client.recv(32 * KIB)
            await asyncio.sleep(0.25 * short_timeouts.STALL_SECONDS)
        received = 0
        while received < 7 * MIB:
            received += len(await asyncio.to_thread(client.recv, MIB))
    assert await stalled(server) == before
