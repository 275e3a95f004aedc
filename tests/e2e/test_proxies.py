"""Whose word is taken for where a request comes from: nobody's, but that of the proxies that were named."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from unittest import mock

import pytest
from starlette.types import Receive, Scope, Send

from modelkeep.http.server.response_watch import ResponseWatch
from tests.support.backends import local_environment
from tests.support.programs import EXECUTABLE, operate
from tests.support.programs import serving as serving_program
from tests.support.servers import free_port
from tests.support.stores import serving

PROXY, STRANGER, CLIENT = "127.0.0.1", "127.0.0.2", "203.0.113.9"


async def tell_client(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers with the address that it takes its client to have."""
    if scope["type"] == "lifespan":
        scope["state"]["response_watch"] = ResponseWatch(lambda: None)
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    body = scope["client"][0].encode("latin-1")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(folder: Path, trusted: str) -> Iterator[int]:
    """That app, on a port, in the way in which `serve` would run the service."""
    proxied = {"MODELKEEP_INSECURE": "1", "MODELKEEP_TRUSTED_PROXIES": trusted}
    with mock.patch("uvicorn.run") as run:
        operate(local_environment(folder) | proxied, "serve", "--host", "127.0.0.1")
    options = dict(run.call_args.kwargs)
    chosen = {name: options[name] for name in ("http", "loop", "proxy_headers", "forwarded_allow_ips")}
    with serving(tell_client, port := free_port(), lifespan="on", **chosen):
        yield port


def client_of(port: int, forwarded: Sequence[str], *, source: str = PROXY) -> str:
    """Whom the service takes for the client of a request with these headers, sent from this address."""
    with closing(HTTPConnection("127.0.0.1", port, source_address=(source, 0), timeout=10)) as connection:
        connection.putrequest("GET", "/")
        for value in forwarded:
            connection.putheader("X-Forwarded-For", value)
        connection.endheaders()
        return connection.getresponse().read().decode("latin-1")


@pytest.mark.parametrize("trusted", [PROXY, "127.0.0.1/32", "10.0.0.0/8, 127.0.0.1", "::1,127.0.0.1"])
def test_a_trusted_proxy_is_believed_and_nobody_else(tmp_path: Path, trusted: str) -> None:
    with served(tmp_path, trusted) as port:
        assert client_of(port, [CLIENT]) == CLIENT
        assert client_of(port, ["2001:db8::7"]) == "2001:db8::7"
        assert client_of(port, [CLIENT], source=STRANGER) == STRANGER
        assert client_of(port, []) == PROXY


def test_without_the_setting_nobody_is_believed(tmp_path: Path) -> None:
    with served(tmp_path, "") as port:
        for source in (PROXY, STRANGER):
            assert client_of(port, [CLIENT], source=source) == source


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["198.51.100.1, 203.0.113.9"], CLIENT),
        (["198.51.100.1", "203.0.113.9"], CLIENT),
        (["198.51.100.1, 203.0.113.9, 10.1.2.3"], CLIENT),
        (["203.0.113.9, 10.1.2.3, 10.200.0.1"], CLIENT),
        (["203.0.113.9:4711"], CLIENT),
        (["<script>, 203.0.113.9"], CLIENT),
        (["127.0.0.1, 203.0.113.9"], CLIENT),
        (["10.9.9.9"], "10.9.9.9"),
        ([""], PROXY),
        ([","], PROXY),
    ],
)
def test_of_several_hops_the_last_that_is_no_proxy_is_the_client(
    tmp_path: Path, forwarded: list[str], client: str
) -> None:
    """What stands left of it was written by the client, who may write anything."""
    with served(tmp_path, "127.0.0.1, 10.0.0.0/8") as port:
        assert client_of(port, forwarded) == client


@pytest.mark.parametrize("proxies", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "*", "127.0.0.1;10.0.0.1", "1,,2"])
def test_a_word_that_is_no_address_is_a_sentence(tmp_path: Path, proxies: str) -> None:
    said = operate(local_environment(tmp_path) | {"MODELKEEP_TRUSTED_PROXIES": proxies}, "serve", "--host", "127.0.0.1")
    assert said.status == 2
    assert all(line.startswith("MODELKEEP_TRUSTED_PROXIES") for line in said.err)
    assert "is not a valid IPv4 or IPv6 network" in said.err[0]


def test_answers_of_the_program_do_not_name_its_server(tmp_path: Path) -> None:
    command: list[str | Path] = [EXECUTABLE, "serve", "--host", "127.0.0.1", "--port", str(port := free_port())]
    with serving_program(command, local_environment(tmp_path), port=port, log=tmp_path / "log") as server:
        server.wait()
        for path in ("/v1/models", "/nowhere", "/%00", "/a b"):
            with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection._validate_path = lambda _: None  # type: ignore[attr-defined]
                connection.request("GET", path)
                assert connection.getresponse().getheader("server") is None
