"""Which proxy a request goes through, by the environment variables that curl and Go read.

`HTTP_PROXY` and `HTTPS_PROXY` are for the schemes that they name, `ALL_PROXY` is for both, and `NO_PROXY` lists what is
requested directly: names (with everything below them), addresses, and ranges of addresses, each with or without a port.
A variable in lower case goes before the same one in capitals. As in Go, this machine is never requested through a
proxy.

Sources: https://curl.se/docs/manpage.html#ENVIRONMENT, https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

_SEPARATORS: Final = re.compile(r"[,\s]+")
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:]*):(\d+)\Z")


class UnusableVariableError(ValueError):
    """An environment variable that is not ours has a value with which no request can be sent.

    The value is not repeated: an address of a proxy may hold a password.
    """

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"The environment variable {variable} {reason}")
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of a proxy, and the variable that names it."""

    variable: str
    url: str

    def fault(self) -> str | None:
        """Why no request can be sent through it, as the rest of a sentence; `None` if requests can."""
        try:
            parts = urlsplit(self.url)
            is_address = bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            return "is not an address like http://proxy:3128."
        if parts.scheme not in {"http", "https"}:
            return (
                f"names a proxy of {parts.scheme}, and only those of http and https are supported."
                " Name such a proxy, or list the host in NO_PROXY."
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The proxy of each scheme, and what goes past it."""

    by_scheme: Mapping[str, Proxy]
    direct: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the variables, by default those of this process. A value is judged when it is needed, not here."""
        found = {
            scheme: proxy
            for scheme in ("http", "https")
            if (proxy := _first_of(environment or os.environ, f"{scheme}_proxy", "all_proxy")) is not None
        }
        listed = _value_of(environment or os.environ, "no_proxy")
        return cls(by_scheme=found, direct=tuple(filter(None, _SEPARATORS.split(listed[1] if listed else ""))))

    def usable(self) -> frozenset[Proxy]:
        """The proxies through which requests can be sent."""
        return frozenset(proxy for proxy in self.by_scheme.values() if proxy.fault() is None)

    def find(self, url: str) -> Proxy | None:
        """The proxy for requests to `url`, or `None` if they are sent directly. Raises `UnusableVariableError`."""
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme)
        host = (parts.hostname or "").rstrip(".")
        if proxy is None or _is_this_machine(host):
            return None
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if any(_covers(entry, host, port) for entry in self.direct):
            return None
        if (fault := proxy.fault()) is not None:
            raise UnusableVariableError(proxy.variable, fault)
        return proxy


def require_certificates(environment: Mapping[str, str] | None = None) -> None:
    """Raises `UnusableVariableError` if a variable of OpenSSL names certificates that are not there."""
    variables = environment or os.environ
    if (file := variables.get("SSL_CERT_FILE")) and not Path(file).is_file():
        raise UnusableVariableError("SSL_CERT_FILE", f"names no file: '{file}'.")
    if (folder := variables.get("SSL_CERT_DIR")) and not any(Path(each).is_dir() for each in folder.split(os.pathsep)):
        raise UnusableVariableError("SSL_CERT_DIR", f"names no folder: '{folder}'.")


def _first_of(environment: Mapping[str, str], *names: str) -> Proxy | None:
    """The first variable that is set; `None` if that one is empty, which means no proxy."""
    found = next(filter(None, (_value_of(environment, name) for name in names)), None)
    if found is None or not found[1]:
        return None
    variable, value = found
    return Proxy(variable, value if "://" in value else f"http://{value}")


def _value_of(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    set_names = [each for each in (name, name.upper()) if each in environment]
    return (set_names[0], environment[set_names[0]].strip()) if set_names else None


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` means this host and port."""
    if entry == "*":
        return True
    if (found := _WITH_PORT.match(entry)) is not None and not _address(entry):
        if int(found[2]) != port:
            return False
        entry = found[1]
    entry = entry.replace("[", "").replace("]", "")
    address = _address(host)
    if address is None:
        name = entry.lower().removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost"
