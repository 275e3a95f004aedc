"""Where a request may carry its token. The route table names the sources of each path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from modelkeep.domain.errors import CredentialsRequiredError, UnauthenticatedError

_SCHEME: Final = b"bearer "


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """One place in a request where a token may be.

    `read` returns the token; "" if the place holds something else; `None` if it is empty. `challenge` returns the
    challenge of a 401 for `WWW-Authenticate`; "" if the place has none, as a cookie.
    """

    read: Callable[[Scope], str | None]
    challenge: Callable[[UnauthenticatedError], str]


def read_token(sources: Sequence[CredentialSource], scope: Scope) -> str | None:
    """The token of the first source that has one; "" if a source has something else; `None` if all are empty."""
    shown: str | None = None
    for source in sources:
        token = source.read(scope)
        if token:
            return token
        shown = token if shown is None else shown
    return shown


def challenge_of(sources: Sequence[CredentialSource], error: UnauthenticatedError) -> str:
    """The value of `WWW-Authenticate` for a 401: the challenges of all sources, which may be none."""
    return ", ".join(filter(None, (source.challenge(error) for source in sources)))


def _read_bearer(scope: Scope) -> str | None:
    """The token of the `Authorization` header.

    If it is sent twice, the token matches none: a proxy before us may have believed the other one.
    """
    header: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            header = value if header is None else header + b", " + value
    if header is None:
        return None
    is_bearer = header[: len(_SCHEME)].lower() == _SCHEME
    return header[len(_SCHEME) :].decode("latin-1").strip() if is_bearer else ""


def _challenge_bearer(error: UnauthenticatedError) -> str:
    reason = "" if isinstance(error, CredentialsRequiredError) else ', error="invalid_token"'
    return f'Bearer realm="modelkeep"{reason}'


BEARER: Final = CredentialSource(_read_bearer, _challenge_bearer)
"""`Authorization: Bearer <token>` (RFC 6750)."""
