"""Where a request may carry its token. The route table names the sources that count below each path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from modelkeep.domain.errors import CredentialsRequiredError, UnauthenticatedError

_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """One place in a request where a token may be.

    `read` returns the token, "" if something else is in its place, and `None` if the place is empty. `challenge` is
    what a 401 says of it in `WWW-Authenticate`; "" if no client can be asked for it that way, as for a cookie.
    """

    read: Callable[[Scope], str | None]
    challenge: Callable[[UnauthenticatedError], str]


def read_token(sources: Sequence[CredentialSource], scope: Scope) -> str | None:
    """The token of the first source that has one; "" if one has something else, and `None` if all are empty."""
    shown: str | None = None
    for source in sources:
        token = source.read(scope)
        if token:
            return token
        shown = token if shown is None else shown
    return shown


def challenge_of(sources: Sequence[CredentialSource], error: UnauthenticatedError) -> str:
    """The value of `WWW-Authenticate` for a 401: the challenges of all sources."""
    return ", ".join(filter(None, (source.challenge(error) for source in sources)))


def _read_bearer(scope: Scope) -> str | None:
    """The token of the `Authorization` header.

    Sent twice, the header is one that no credential matches: so no proxy can have believed the other of the two.
    """
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        return None
    header = b", ".join(found).decode("latin-1")
    scheme, token = header[: len(_SCHEME)], header[len(_SCHEME) :]
    return token.strip() if scheme.lower() == _SCHEME else ""


def _challenge_bearer(error: UnauthenticatedError) -> str:
    reason = "" if isinstance(error, CredentialsRequiredError) else ', error="invalid_token"'
    return f'Bearer realm="modelkeep"{reason}'


BEARER: Final = CredentialSource(_read_bearer, _challenge_bearer)
"""`Authorization: Bearer <token>` (RFC 6750)."""
