"""Asking an issuer for its keys over HTTP, whatever it answers and however slowly."""

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

SECONDS: Final = 5
"""For all of it: connections, discovery, keys."""

MAX_BYTES: Final = 256 * 1024

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError)
"""All that `fetch_keys` may raise."""

_DISCOVERY: Final = "/.well-known/openid-configuration"
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity"}


async def fetch_keys(issuer: Issuer) -> Mapping[str, SigningKey]:
    """The issuer's keys by their ids, at least one; from `jwks_url`, or from where its discovery document says."""
    async with asyncio.timeout(SECONDS):
        authorities = await asyncio.to_thread(_authorities, issuer.ca_file)
        async with httpx.AsyncClient(
            verify=authorities, headers=_HEADERS, timeout=SECONDS, follow_redirects=False
        ) as http:
            address = issuer.jwks_url or await _discover(http, issuer.url)
            return read_keys(await _get(http, address))


def _authorities(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def _discover(http: httpx.AsyncClient, issuer: str) -> str:
    match json.loads(await _get(http, issuer.removesuffix("/") + _DISCOVERY)):
        case {"issuer": str(named), "jwks_uri": str(address)} if named == issuer:
            return address
        case _:
            raise ValueError("the discovery document is not this issuer's, or does not say where its keys are")


async def _get(http: httpx.AsyncClient, address: str) -> bytes:
    url = httpx.URL(address)
    _check(url)
    body = bytearray()
    async with http.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{address} answers with status {response.status_code}")
        async for block in response.aiter_raw():
            body += block
            if len(body) > MAX_BYTES:
                raise ValueError(f"{address} answers with more than {MAX_BYTES} bytes")
    return bytes(body)


def _check(url: httpx.URL) -> None:
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
        raise ValueError(f"{url} is not https: whoever is on the way could put keys of their own there")
