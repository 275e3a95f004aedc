"""What the client takes from the machine's environment: the registry's address, proxies, certificates."""

from collections.abc import Iterator

import httpx
import pytest

from modelkeep import AsyncRegistryClient, RegistryClient
from modelkeep.client.http_transports import BlockingTransport
from tests.support.faults.network import answers
from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
ELSEWHERE = "http://registry.example:8000"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def forward_proxy() -> Iterator[Proxy]:
    """A proxy that answers everything itself, as a registry without models."""
    with Proxy().running() as proxy:
        proxy.when(".*", ".*", answers(200, '{"items": [], "next_cursor": null}', content_type="application/json"))
        yield proxy


def seen_by(proxy: Proxy) -> list[str]:
    return [request.path for request in proxy.seen]


async def test_the_registry_is_asked_through_the_proxy(forward_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", forward_proxy.url)
    async with AsyncRegistryClient(ELSEWHERE) as registry:
        assert await registry.list_models() == []
    assert seen_by(forward_proxy) == [f"{ELSEWHERE}/v1/models"]


def test_storage_is_asked_through_the_proxy(forward_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", forward_proxy.url)
    with httpx.Client(transport=BlockingTransport()) as http:
        assert http.get("http://bucket.example/key").is_success
    assert seen_by(forward_proxy) == ["http://bucket.example/key"]


@pytest.mark.parametrize("listed", ["127.0.0.0/8,fd00::/8,[::1]", ""])
def test_this_machine_and_ranges_are_asked_directly(
    forward_proxy: Proxy, dev_url: str, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", forward_proxy.url)
    monkeypatch.setenv("NO_PROXY", listed)
    Cli(dev_url).does("list")
    assert seen_by(forward_proxy) == []


def test_a_socks_proxy_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, dev_url: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@proxy.example:1080")
    code, sentence = Cli(ELSEWHERE).refusal("list", status=2)
    assert code == "usage"
    assert sentence.startswith("The environment variable ALL_PROXY names a proxy of socks5, and only those of http")
    Cli(dev_url).does("list")


def test_a_wrong_file_of_certificates_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, dev_url: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    sentence = "The environment variable SSL_CERT_FILE names no file: '/nowhere/ca.pem'."
    assert Cli(dev_url).refusal("list", status=2) == ("usage", sentence)


ADDRESSES = {
    "http://ci:hunter2@registry:8000": "the address has a user name or a password. Remove them, and set",
    "http://registry:8000/?token=hunter2": r"the address has a '\?' or a '#'. Remove it and what comes after it",
    "http://registry:8000#hunter2": r"the address has a '\?' or a '#'. Remove it and what comes after it",
    "http://registry:8000/v1": r"one of the registry's pages. Write http://registry:8000$",
    "http://registry:8000/v1/": r"one of the registry's pages. Write http://registry:8000$",
    "http://registry:8000/team/v1/models/m": r"one of the registry's pages. Write http://registry:8000/team$",
    "http://registry:8000/docs": r"one of the registry's pages. Write http://registry:8000$",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_with_more_than_an_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=ADDRESSES[url]) as refused:
        RegistryClient(url)
    assert "hunter2" not in str(refused.value)


def test_a_password_in_the_address_is_not_printed() -> None:
    code, sentence = Cli("http://ci:hunter2@registry:8000").refusal("list", status=2)
    assert (code, "hunter2" in sentence) == ("usage", False)


@pytest.mark.parametrize("path", ["", "/", "/models", "/v1x", "/team"])
def test_a_registry_below_a_path_has_an_address(path: str) -> None:
    with RegistryClient(f"http://registry:8000{path}") as registry:
        assert registry.client._transport.url == f"http://registry:8000{path}".rstrip("/")


def test_the_default_address_is_named_as_such(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    _, sentence = Cli("http://127.0.0.1:8000").refusal("list", status=3)
    assert sentence.endswith("It is the default: set MODELKEEP_URL to another address, or start `modelkeep dev` here.")
