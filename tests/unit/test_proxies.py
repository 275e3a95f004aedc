"""Which proxy a request goes through: what curl and Go would do with the same variables."""

import pytest

from modelkeep.kit.proxies import ProxySettings, UnusableVariableError, require_certificates

PROXY = {"HTTP_PROXY": "http://plain:3128", "HTTPS_PROXY": "http://secure:3128"}


def found(url: str, **variables: str) -> str | None:
    proxy = ProxySettings.from_environment(variables).find(url)
    return proxy.url if proxy else None


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("http://registry", PROXY, "http://plain:3128"),
        ("https://registry", PROXY, "http://secure:3128"),
        ("https://registry", {"ALL_PROXY": "all:1080"}, "http://all:1080"),
        ("https://registry", PROXY | {"ALL_PROXY": "http://all"}, "http://secure:3128"),
        ("https://registry", PROXY | {"https_proxy": "http://lower"}, "http://lower"),
        ("https://registry", PROXY | {"https_proxy": ""}, None),
        ("https://registry", {"HTTPS_PROXY": "", "ALL_PROXY": "http://all"}, None),
        ("https://registry", {}, None),
    ],
)
def test_the_variable_of_the_scheme_decides(url: str, variables: dict[str, str], proxy: str | None) -> None:
    assert found(url, **variables) == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    assert found(f"http://{host}:8000", **PROXY) is None


@pytest.mark.parametrize(
    ("listed", "host"),
    [
        ("10.0.0.0/8,fd00::/8,[::1]", "10.1.2.3"),
        ("10.0.0.0/8,fd00::/8,[::1]", "[fd00::7]"),
        ("10.1.2.3/8", "10.9.9.9"),
        ("other, 10.1.2.3", "10.1.2.3"),
        ("other 10.1.2.3", "10.1.2.3"),
        ("[fd00::7]", "[fd00:0::7]"),
        ("fd00::7", "[fd00::7]"),
        ("example.com", "example.com"),
        ("example.com", "models.example.com"),
        (".example.com", "models.example.com"),
        (".example.com", "example.com"),
        ("*.example.com", "models.example.com"),
        ("EXAMPLE.com", "models.Example.COM"),
        ("example.com", "example.com."),
        ("*", "anything"),
        ("example.com:443", "example.com"),
        ("10.1.2.3:443", "10.1.2.3"),
        ("[fd00::7]:443", "[fd00::7]"),
    ],
)
def test_what_no_proxy_lists_is_asked_directly(listed: str, host: str) -> None:
    assert found(f"https://{host}", **PROXY, NO_PROXY=listed) is None
    assert found(f"https://{host}", **PROXY, no_proxy=listed, NO_PROXY="") is None


@pytest.mark.parametrize(
    ("listed", "host"),
    [
        ("", "registry"),
        ("10.0.0.0/8,fd00::/8,[::1]", "11.0.0.1"),
        ("10.0.0.0/8", "host-10-1-2-3"),
        ("example.com", "notexample.com"),
        ("models.example.com", "example.com"),
        ("example.com:8443", "example.com"),
        ("10.1.2.3:8443", "10.1.2.3"),
        ("10.0.0.0/33,nonsense/8,[,:,]", "10.1.2.3"),
        (".", "registry"),
    ],
)
def test_nothing_else_is_asked_directly(listed: str, host: str) -> None:
    assert found(f"https://{host}", **PROXY, NO_PROXY=listed) == "http://secure:3128"


@pytest.mark.parametrize("url", ["socks5://user:secret@h:1080", "socks5h://h", "ftp://h", "http://", "http://h:x", ":"])
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(url: str) -> None:
    with pytest.raises(UnusableVariableError, match="The environment variable ALL_PROXY ") as refused:
        found("https://registry", ALL_PROXY=url)
    assert "secret" not in str(refused.value)
    assert found("https://registry", ALL_PROXY=url, NO_PROXY="registry") is None
    assert found("http://localhost", ALL_PROXY=url) is None


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_named_by_their_variable(variable: str) -> None:
    with pytest.raises(UnusableVariableError, match=f"The environment variable {variable} names no"):
        require_certificates({variable: "/nowhere"})
    require_certificates({})
