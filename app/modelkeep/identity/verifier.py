"""Verifies a JSON Web Token: from its text to the claims of a trusted issuer."""

import time
from collections.abc import Callable
from typing import Final

from jwt import PyJWS, PyJWTError

from modelkeep.domain.access.trust import ALGORITHMS, Claims, Issuer
from modelkeep.domain.errors import InvalidTokenError
from modelkeep.identity.claims import check_claims
from modelkeep.identity.jwks import SigningKey
from modelkeep.identity.jwks_cache import JwksCache
from modelkeep.identity.jwt_parsing import UnverifiedToken, parse_jwt

_SIGNATURES: Final = PyJWS(algorithms=sorted(ALGORITHMS))


class Verifier:
    """Verifies tokens, and caches the keys of their issuers.

    `clock` returns seconds since 1970, `timer` monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timer = timer
        self._keys: dict[tuple[object, ...], JwksCache] = {}

    async def verify(self, token: str, issuer_of: Callable[[str], Issuer | None]) -> tuple[Issuer, Claims]:
        """The issuer and the claims of a token. `issuer_of` returns the trusted issuer with exactly this `iss`, if any.

        Raises `InvalidTokenError`; `TokenExpiredError`; `IssuerUnavailableError` if the key is unknown and the issuer
        does not answer.
        """
        unverified = parse_jwt(token)
        issuer = issuer_of(unverified.issuer)
        if issuer is None:
            raise InvalidTokenError(
                "The token's issuer is not trusted here. Issuers are identified by their exact 'iss'."
            )
        _check_signature(token, unverified, await self._key(issuer, unverified))
        check_claims(unverified.claims, issuer, self._clock())
        return issuer, unverified.claims

    async def _key(self, issuer: Issuer, unverified: UnverifiedToken) -> SigningKey:
        if unverified.algorithm not in ALGORITHMS.intersection(issuer.algorithms):
            raise InvalidTokenError("The token is not signed with an algorithm that is allowed for its issuer.")
        key = await self._keys_of(issuer).find(unverified.key_id)
        if key is None:
            raise InvalidTokenError("The token is signed with a key that its issuer does not publish.")
        if unverified.algorithm not in key.algorithms:
            raise InvalidTokenError("The token's key is not for the algorithm that the token is signed with.")
        return key

    def _keys_of(self, issuer: Issuer) -> JwksCache:
        source = (issuer.name, issuer.url, issuer.jwks_url, issuer.ca_file)
        if source not in self._keys:
            self._keys[source] = JwksCache(issuer, self._timer)
        return self._keys[source]


def _check_signature(token: str, unverified: UnverifiedToken, key: SigningKey) -> None:
    try:
        _SIGNATURES.decode(token, key.public, algorithms=[unverified.algorithm])
    except PyJWTError as error:
        raise InvalidTokenError("The token's signature is wrong.") from error
