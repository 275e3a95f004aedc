"""Where clients of the Hub put a registry token, and in which spellings."""

from typing import Final

from starlette.types import Scope

from modelkeep.domain.access.tokens import from_hub_spelling
from modelkeep.http.credentials import BEARER, CredentialSource


def _read(scope: Scope) -> str | None:
    token = BEARER.read(scope)
    return token and from_hub_spelling(token)


HUB_BEARER: Final = CredentialSource(_read, BEARER.challenge)
"""`Authorization: Bearer`, with a token as it is or as one of the spellings that look like the Hub's own tokens."""
