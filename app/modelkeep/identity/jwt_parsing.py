"""Reading a JSON Web Token: what it says, before any of it is believed.

Stricter than the standards, for whoever reads leniently can be shown one token and a stranger's library another: three
parts without padding, UTF-8, no member twice, no numbers that JSON has not. No sentence repeats what the token holds.
"""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NoReturn

from modelkeep.domain.access.trust import Claims
from modelkeep.domain.errors import InvalidTokenError

MAX_LENGTH: Final = 16 * 1024
MAX_KEY_ID: Final = 255

_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_REFUSED: Final = ("crit", "jku", "jwk", "x5u", "x5c", "b64")
"""Headers by which a token would choose its own key or its own rules."""


class UnverifiedToken(NamedTuple):
    """What a token says of itself."""

    algorithm: str
    key_id: str
    issuer: str
    claims: Claims


def parse_jwt(token: str) -> UnverifiedToken:
    """Take a token apart. Raises `InvalidTokenError` for one that no issuer should have signed, whoever did."""
    if len(token) > MAX_LENGTH:
        raise InvalidTokenError(f"The token is too long: a JSON Web Token has at most {MAX_LENGTH} characters here.")
    parts = _FORM.fullmatch(token)
    if parts is None:
        raise InvalidTokenError("This is not a signed JSON Web Token: three parts in base64url, with dots in between.")
    header, claims = _object(parts[1], "header"), _object(parts[2], "payload")
    for name in _REFUSED:
        if name in header:
            raise InvalidTokenError(f"The token has the header '{name}', which is accepted of nobody.")
    return UnverifiedToken(_text(header, "alg"), _key_id(header), _issuer(claims), claims)


def _object(part: str, name: str) -> dict[str, Any]:
    padding = "=" * (-len(part) % 4)
    try:
        text = base64.urlsafe_b64decode(part + padding).decode("utf-8")
        found = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidTokenError(f"The token's {name} is not a well-formed JSON object in base64url.")
    return found


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member comes twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


def _key_id(header: dict[str, Any]) -> str:
    key_id = _text(header, "kid")
    if len(key_id) > MAX_KEY_ID:
        raise InvalidTokenError(f"The token's header 'kid' is too long: at most {MAX_KEY_ID} characters.")
    return key_id


def _text(header: dict[str, Any], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidTokenError(f"The token's header '{name}' is missing, empty or not text.")
    return value


def _issuer(claims: Claims) -> str:
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise InvalidTokenError("The token's claim 'iss' is missing or not text, so nobody can be asked for its key.")
    return issuer
