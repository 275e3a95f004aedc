"""Protects a service that asks nobody for credentials from the pages that its users read in a browser.

A page of a stranger reaches every port of its reader's machine: by DNS rebinding, with a name of its own that it has
pointed there, it could read every answer; by cross-site request forgery (CSRF) it could change things unread. A browser
cannot be made to name another `Host` than that of the page, or to leave out where a request comes from.
"""

import re
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from modelkeep.domain.errors import ForeignHostError, ForeignOriginError
from modelkeep.domain.values import is_loopback_name
from modelkeep.http.context import first_header

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
"""Of `Sec-Fetch-Site`; "none" is what a person has typed."""

_AUTHORITY: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]*[a-z0-9_-])\.?)(?::([0-9]{1,5}))?", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_CACHED_HOSTS: Final = 1_024


class BrowserGuard:
    """Rejects requests for hosts but loopback names and the public one, and changes by pages of other origins."""

    def __init__(self, public_host: str) -> None:
        self._public_host = public_host
        self._is_own_host = lru_cache(_CACHED_HOSTS)(self._is_own)

    def check(self, scope: Scope) -> None:
        """Raise `ForeignHostError` or `ForeignOriginError`. What a browser always sends may be missing in others."""
        for name, value in scope["headers"]:
            if name == b"host" and not self._is_own_host(value):
                raise ForeignHostError(value.decode("latin-1"))
        if scope["method"] not in _SAFE_METHODS and _is_cross_origin(scope):
            raise ForeignOriginError(first_header(scope, b"origin"))

    def _is_own(self, host: bytes) -> bool:
        name, _ = _host_and_port(host.decode("latin-1"))
        return bool(name) and (name == self._public_host or is_loopback_name(name))


def _is_cross_origin(scope: Scope) -> bool:
    """Whether a browser says that the page of another origin than that of the `Host` sends the request."""
    host = first_header(scope, b"host")
    return any(
        (name == b"sec-fetch-site" and value not in _OWN_SITES)
        or (name == b"origin" and not _is_origin_of(value.decode("latin-1"), host))
        for name, value in scope["headers"]
    )


def _is_origin_of(origin: str, host: str) -> bool:
    """Whether an origin has this host and port. Its scheme counts for the port alone: TLS may end at a proxy."""
    scheme, _, authority = origin.partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    name, port = _host_and_port(authority)
    own_name, own_port = _host_and_port(host)
    return bool(default and name) and (name, port or default) == (own_name, own_port or default)


def _host_and_port(authority: str) -> tuple[str, str]:
    """The name in lower case, and the port, as in a `Host` header; empty if there are none."""
    found = _AUTHORITY.fullmatch(authority)
    return ((found[1] or found[2]).lower(), found[3] or "") if found else ("", "")
