"""Fetches the keys of an issuer over HTTP, with limits on time, size and redirects.

Source: https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from modelkeep.domain.access.trust import Issuer
from modelkeep.domain.values import is_loopback
from modelkeep.identity.jwks import SigningKey, read_keys
from modelkeep.kit.proxies import ProxySettings, require_certificates

TIMEOUT_SECONDS: Final = 5
"""For everything together: connections, discovery document, keys."""

MAX_BYTES: Final = 256 * 1024

FETCH_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError)
"""Everything that `fetch_keys` may raise."""

_WELL_KNOWN_PATH: Final = "/.well-known/openid-configuration"
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}


async def fetch_keys(issuer: Issuer) -> Mapping[str, SigningKey]:
    """The issuer's keys by id, at least one, from its `jwks_url` or else the `jwks_uri` of its discovery document."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        context = await asyncio.to_thread(_ssl_context, issuer.ca_file)
        address = issuer.jwks_url or await _discover(context, issuer.url)
        return read_keys(await _get(context, address))


def _ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    require_certificates()
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _discover(context: ssl.SSLContext, issuer: str) -> str:
    match json.loads(await _get(context, issuer.removesuffix("/") + _WELL_KNOWN_PATH)):
        case {"issuer": str(named), "jwks_uri": str(address)} if named == issuer:
            return address
        case _:
            raise ValueError("the discovery document names another issuer or no jwks_uri")


async def _get(context: ssl.SSLContext, address: str) -> bytes:
    url = httpx.URL(address)
    _require_https(url)
    body = bytearray()
    proxy = ProxySettings.from_environment().find(address)
    async with (
        httpx.AsyncClient(
            verify=context,
            headers=_HEADERS,
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
            proxy=proxy.url if proxy else None,
        ) as http,
        http.stream("GET", url) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{address} answers with status {response.status_code}")
        async for block in response.aiter_raw():
            body += block
            if len(body) > MAX_BYTES:
                raise ValueError(f"{address} answers with more than {MAX_BYTES} bytes")
    return bytes(body)


def _require_https(url: httpx.URL) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
        raise ValueError(f"{url} is not https, so its keys could be replaced in transit")
