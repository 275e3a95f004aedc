"""Where the client's token comes from, and when it is renewed."""

import asyncio
import base64
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from modelkeep.client.errors import NoTokenError
from modelkeep.client.github import request_token

TokenProvider = Callable[[], str]
"""Returns a token that is valid now. It may block: it is called in a thread."""

EXPIRY_MARGIN_SECONDS: Final = 60.0
"""A token that expires within so many seconds is renewed before the next request."""

_HEADER_SAFE: Final = re.compile(r"[!-~]+\Z")


class TokenSource:
    """A provider of tokens, and the token that it returned last. `source` is its name in messages.

    A token is used until shortly before it expires (a JSON Web Token says when) or the registry refuses it. Unless
    `is_cached`, the provider is called before each request.
    """

    def __init__(self, provider: TokenProvider, *, source: str, is_cached: bool = True) -> None:
        self._provider = provider
        self.source = source
        self._is_cached = is_cached
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token for the next request. Raises `NoTokenError`, or what the provider raises."""
        async with self._lock:
            if not self._is_cached or time.time() >= self._renew_at:
                self._token = await self._call_provider()
                self._renew_at = _expiry(self._token) - EXPIRY_MARGIN_SECONDS
            return self._token

    async def renew(self, refused: str) -> str | None:
        """A token in place of one that was refused, or `None` if there is no other. Raises as `token` does."""
        if refused == self._token:
            self._renew_at = 0.0
        token = await self.token()
        return None if token == refused else token

    async def _call_provider(self) -> str:
        try:
            token = await asyncio.to_thread(self._provider)
        except OSError as error:
            raise NoTokenError(self.source, error.strerror or str(error)) from error
        if not token:
            raise NoTokenError(self.source, "it is empty")
        if not _HEADER_SAFE.match(token):
            raise NoTokenError(self.source, "it has spaces, line breaks or other characters that no token has")
        return token


def find_token_source(
    given: str | TokenProvider | None, environment: Mapping[str, str], *, audience: str
) -> TokenSource | None:
    """The token or provider that is given, else `MODELKEEP_TOKEN`, the file `MODELKEEP_TOKEN_FILE`, or GitHub Actions.

    A job with `permissions: id-token: write` can request a JSON Web Token from GitHub, which is valid for `audience`
    alone. Returns `None` if there is no source.
    """
    if callable(given):
        return TokenSource(given, source="the provider")
    if given:
        return TokenSource(lambda: given, source="the caller")
    if token := environment.get("MODELKEEP_TOKEN"):
        return TokenSource(lambda: token, source="MODELKEEP_TOKEN")
    if path := environment.get("MODELKEEP_TOKEN_FILE"):
        return TokenSource(partial(_read_file, Path(path)), source=f"MODELKEEP_TOKEN_FILE '{path}'", is_cached=False)
    url, bearer = (environment.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    if url and bearer:
        return TokenSource(partial(request_token, url, bearer, audience), source="GitHub")
    return None


def _read_file(path: Path) -> str:
    """The token in a file, which another program may renew at any time."""
    return path.read_text("utf-8", "replace").strip()


def _expiry(token: str) -> float:
    """When a JSON Web Token says that it expires, in seconds since 1970; infinity for any other token."""
    payload = "".join(token.split(".")[1:2])
    try:
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, TypeError, KeyError):
        return math.inf
