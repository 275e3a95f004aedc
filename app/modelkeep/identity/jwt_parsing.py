"""Parses a JSON Web Token, before any of it is verified.

Stricter than RFC 7515 and 7519, because two lenient parsers may read two different tokens in one text: three parts
without padding, UTF-8, no repeated member, no numbers that are not JSON. No error message repeats the token's content.
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

_COMPACT_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_REJECTED_HEADERS: Final = ("crit", "jku", "jwk", "x5u", "x5c", "b64")
"""Headers by which a token could choose its own key or its own rules."""


class UnverifiedToken(NamedTuple):
    """The headers and claims of a token, unverified."""

    algorithm: str
    key_id: str
    issuer: str
    claims: Claims


def parse_jwt(token: str) -> UnverifiedToken:
    """Parse a token. Raises `InvalidTokenError` for one that is malformed or has a rejected header."""
    if len(token) > MAX_LENGTH:
        raise InvalidTokenError(f"The token is too long: a JSON Web Token has at most {MAX_LENGTH} characters here.")
    parts = _COMPACT_FORM.fullmatch(token)
    if parts is None:
        raise InvalidTokenError("This is not a signed JSON Web Token: three parts in base64url, with dots in between.")
    header, claims = _object(parts[1], "header"), _object(parts[2], "payload")
    for name in _REJECTED_HEADERS:
        if name in header:
            raise InvalidTokenError(f"The token has the header '{name}', which is never accepted.")
    return UnverifiedToken(_text(header, "alg"), _key_id(header), _issuer(claims), claims)


def _object(part: str, name: str) -> dict[str, Any]:
    padding = "=" * (-len(part) % 4)
    try:
        text = base64.urlsafe_b64decode(part + padding).decode("utf-8")
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidTokenError(f"The token's {name} is not a well-formed JSON object in base64url.")
    return found


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is repeated")
    return members


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


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
        raise InvalidTokenError("The token's claim 'iss' is missing or not text, so its issuer is unknown.")
    return issuer
