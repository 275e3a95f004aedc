"""Checks the claims of a token whose signature is valid, by the same rules for every issuer."""

from datetime import UTC, datetime
from typing import Any, Final

from modelkeep.domain.access.trust import Claims, Issuer
from modelkeep.domain.errors import InvalidTokenError, TokenExpiredError

MAX_LIFETIME_SECONDS: Final = 24 * 60 * 60
"""Seconds from issue to expiry; PyJWT accepts any number of years."""

LEEWAY_SECONDS: Final = 30
"""Seconds by which the clocks of issuer and registry may differ."""

MAX_SUBJECT_BYTES: Final = 255
"""Bytes."""

_MAX_TIME: Final = 253402300799
"""The end of the year 9999, the last one that `datetime` has."""


def check_claims(claims: Claims, issuer: Issuer, now: float) -> None:
    """Raises `InvalidTokenError` or `TokenExpiredError`, unless the token is for this registry and for the present."""
    _check_subject(claims)
    _check_audience(claims, issuer)
    _check_times(claims, now)


def _check_subject(claims: Claims) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject.encode()) <= MAX_SUBJECT_BYTES:
        raise InvalidTokenError(f"The token's claim 'sub' is not 1 to {MAX_SUBJECT_BYTES} bytes of printable text.")


def _check_audience(claims: Claims, issuer: Issuer) -> None:
    """Exactly one audience: either of two could use the token at the other. Kubernetes sends a list of one."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if len(audiences) != 1 or not isinstance(audiences[0], str):
        raise InvalidTokenError(
            "The token's claim 'aud' does not name exactly one audience. Request a token for a single audience."
        )
    if audiences[0] not in issuer.audiences:
        ours = " or ".join(sorted(issuer.audiences))
        raise InvalidTokenError(f"The token is for another audience. Ask its issuer for one with the audience {ours}.")


def _check_times(claims: Claims, now: float) -> None:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
        raise InvalidTokenError("The token's claim 'exp' is not within 24 hours after its claim 'iat'.")
    if issued_at > now + LEEWAY_SECONDS:
        raise InvalidTokenError("The token's claim 'iat' is in the future. Compare the issuer's clock with ours.")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY_SECONDS:
        raise InvalidTokenError("The token's claim 'nbf' is in the future. Compare the issuer's clock with ours.")
    if expires_at <= now - LEEWAY_SECONDS:
        raise TokenExpiredError(f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}")


def _time(claims: Claims, name: str) -> float:
    value: Any = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_TIME:
        raise InvalidTokenError(f"The token's claim '{name}' is missing or not a time in seconds since 1970.")
    return value
