"""Where the client's token comes from, and when another one is asked for."""

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
"""Gives a token that is good now. It may take its time: it is called in a thread."""

_MARGIN: Final = 60.0
"""A token that expires within so many seconds is not used for another request."""

_SENDABLE: Final = re.compile(r"[!-~]+\Z")


class TokenSource:
    """A token, and the way to the next one. `source` says in messages where it comes from.

    What the provider gives is used until shortly before it expires (JSON Web Tokens say when) or the registry refuses
    it; unless `keeps`, it is asked for before each request.
    """

    def __init__(self, provider: TokenProvider, *, source: str, keeps: bool = True) -> None:
        self._provider = provider
        self._source = source
        self._keeps = keeps
        self._token = ""
        self._good_until = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """A token for the next request. Raises `NoTokenError`, or what the provider raises."""
        async with self._asking:
            if not self._keeps or time.time() >= self._good_until:
                self._token = await self._ask()
                self._good_until = _expiry(self._token) - _MARGIN
            return self._token

    async def other_than(self, refused: str) -> str | None:
        """A token in place of one that was refused; `None` if there is no other. Raises as `token` does."""
        if refused == self._token:
            self._good_until = 0.0
        token = await self.token()
        return None if token == refused else token

    async def _ask(self) -> str:
        try:
            token = await asyncio.to_thread(self._provider)
        except OSError as error:
            raise NoTokenError(self._source, error.strerror or str(error)) from error
        if not token:
            raise NoTokenError(self._source, "it is empty")
        if not _SENDABLE.match(token):
            raise NoTokenError(self._source, "it has spaces, line breaks or other characters that no token has")
        return token


def find_token_source(
    given: str | TokenProvider | None, environment: Mapping[str, str], *, audience: str
) -> TokenSource | None:
    """The token or provider that is given, else `MODELKEEP_TOKEN`, the file `MODELKEEP_TOKEN_FILE`, or GitHub's word.

    GitHub tells jobs that may have an identity (`permissions: id-token: write`) whom to ask for it; it is asked for one
    that is good at `audience` alone.
    """
    if callable(given):
        return TokenSource(given, source="the provider")
    if given:
        return TokenSource(lambda: given, source="the caller")
    if token := environment.get("MODELKEEP_TOKEN"):
        return TokenSource(lambda: token, source="MODELKEEP_TOKEN")
    if path := environment.get("MODELKEEP_TOKEN_FILE"):
        return TokenSource(partial(_read, Path(path)), source=f"MODELKEEP_TOKEN_FILE '{path}'", keeps=False)
    url, bearer = (environment.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    if url and bearer:
        return TokenSource(partial(request_token, url, bearer, audience), source="GitHub")
    return None


def _read(path: Path) -> str:
    """What a file holds now: another program renews it."""
    return path.read_text("utf-8", "replace").strip()


def _expiry(token: str) -> float:
    """When a JSON Web Token expires by its own word, in seconds since 1970; nothing else says when."""
    payload = "".join(token.split(".")[1:2])
    try:
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, TypeError, KeyError):
        return math.inf
