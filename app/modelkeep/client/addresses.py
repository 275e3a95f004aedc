"""The address of a registry, as a caller gives it."""

import re
from typing import Final

import httpx

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where `modelkeep dev` serves, if it is not told otherwise."""

_MAX_PORT: Final = 65535
_OWN_PATH: Final = re.compile(r"/(v1|ui|docs|healthz|readyz|metrics)(/|\Z)")


def require_address(url: str) -> str:
    """The address without slashes at its end.

    Raises `ValueError` if it is no address of HTTP, or has a part that no address of a registry has: a user name, a
    password, a query or a fragment, none of which the sentence repeats, or the path of a route.
    """
    if "@" in url:
        raise ValueError("the address has a user name or a password. Remove them, and set MODELKEEP_TOKEN to a token")
    if "?" in url or "#" in url:
        raise ValueError("the address has a '?' or a '#'. Remove it and what comes after it")
    if not _is_of_http(url):
        raise ValueError(f"'{url}' is not an address like http://registry:8000")
    if (found := _OWN_PATH.search(httpx.URL(url).path)) is not None:
        before = url[: url.rindex(found[0].rstrip("/"))]
        raise ValueError(f"'{url}' is the address of one of the registry's pages. Write {before}")
    return url.rstrip("/")


def _is_of_http(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.host) and (parts.port or 1) <= _MAX_PORT
