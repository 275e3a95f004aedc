"""What the claims of a token must be once its signature is good, whoever issued it."""

from datetime import UTC, datetime
from typing import Any, Final

from modelkeep.domain.access.trust import Claims, Issuer
from modelkeep.domain.errors import InvalidTokenError, TokenExpiredError

MAX_LIFE: Final = 24 * 60 * 60
"""Seconds from issue to expiry; libraries accept any number of years."""

LEEWAY: Final = 30
"""Seconds by which the clocks of issuer and registry may differ."""

MAX_SUBJECT: Final = 255
"""Bytes."""

_LAST_SECOND: Final = 253402300799
"""The end of the year 9999."""


def check_claims(claims: Claims, issuer: Issuer, now: float) -> None:
    """Raises `InvalidTokenError` or `TokenExpiredError`, unless the token is for this registry and for the present."""
    _check_subject(claims)
    _check_audience(claims, issuer)
    _check_times(claims, now)


def _check_subject(claims: Claims) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject.encode()) <= MAX_SUBJECT:
        raise InvalidTokenError(f"The token's claim 'sub' is not 1 to {MAX_SUBJECT} bytes of printable text.")


def _check_audience(claims: Claims, issuer: Issuer) -> None:
    """A list of one is as good as text (Kubernetes sends lists); a token for two can be used by either as the other."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if len(audiences) != 1 or not isinstance(audiences[0], str):
        raise InvalidTokenError(
            "The token's claim 'aud' does not name exactly one audience. Ask for one with just one."
        )
    if audiences[0] not in issuer.audiences:
        ours = " or ".join(sorted(issuer.audiences))
        raise InvalidTokenError(f"The token is for another audience. Ask its issuer for one with the audience {ours}.")


def _check_times(claims: Claims, now: float) -> None:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if not 0 < expires_at - issued_at <= MAX_LIFE:
        raise InvalidTokenError("The token does not expire after its issue and within 24 hours of it.")
    if issued_at > now + LEEWAY:
        raise InvalidTokenError("The token is of the future by its claim 'iat'. Compare the issuer's clock with ours.")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
        raise InvalidTokenError("The token is not valid yet by its claim 'nbf'. Compare the issuer's clock with ours.")
    if expires_at <= now - LEEWAY:
        raise TokenExpiredError(f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}")


def _time(claims: Claims, name: str) -> float:
    value: Any = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LAST_SECOND:
        raise InvalidTokenError(f"The token's claim '{name}' is missing or not a time in seconds since 1970.")
    return value
