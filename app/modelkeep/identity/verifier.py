"""Verifying identities: from the text of a JSON Web Token to claims that a trusted issuer vouches for."""

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
    """Verifies tokens, and keeps the keys of their issuers from one to the next.

    `clock` gives seconds since 1970, `timer` seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timer = timer
        self._keys: dict[tuple[object, ...], JwksCache] = {}

    async def verify(self, token: str, issuer_of: Callable[[str], Issuer | None]) -> tuple[Issuer, Claims]:
        """Who issued the token, and what it says of its bearer. `issuer_of` finds a trusted issuer by its exact `iss`.

        Raises `InvalidTokenError`, `TokenExpiredError`, or `IssuerUnavailableError` if only the issuer could tell.
        """
        said = parse_jwt(token)
        issuer = issuer_of(said.issuer)
        if issuer is None:
            raise InvalidTokenError("The token's issuer is not trusted here. Issuers are told by their exact 'iss'.")
        _check_signature(token, said, await self._key(issuer, said))
        check_claims(said.claims, issuer, self._clock())
        return issuer, said.claims

    async def _key(self, issuer: Issuer, said: UnverifiedToken) -> SigningKey:
        if said.algorithm not in ALGORITHMS.intersection(issuer.algorithms):
            raise InvalidTokenError("The token is not signed by an algorithm that is allowed to its issuer.")
        key = await self._keys_of(issuer).find(said.key_id)
        if key is None:
            raise InvalidTokenError("The token is signed with a key that its issuer does not publish.")
        if said.algorithm not in key.algorithms:
            raise InvalidTokenError("The token's key is not for the algorithm that the token is signed by.")
        return key

    def _keys_of(self, issuer: Issuer) -> JwksCache:
        source = (issuer.name, issuer.url, issuer.jwks_url, issuer.ca_file)
        if source not in self._keys:
            self._keys[source] = JwksCache(issuer, self._timer)
        return self._keys[source]


def _check_signature(token: str, said: UnverifiedToken, key: SigningKey) -> None:
    try:
        _SIGNATURES.decode(token, key.public, algorithms=[said.algorithm])
    except PyJWTError as error:
        raise InvalidTokenError("The token's signature is wrong.") from error
