"""Parses a JSON Web Key Set (RFC 7517) and selects the keys that can verify signatures here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError
from jwt.algorithms import AllowedPublicKeys

from modelkeep.domain.access.trust import RSA_ALGORITHMS

MAX_KEYS: Final = 100
RSA_BITS: Final = range(2048, 8192 + 1)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key and the algorithms whose signatures it may verify."""

    id: str
    public: AllowedPublicKeys
    algorithms: frozenset[str]


def read_keys(document: bytes) -> Mapping[str, SigningKey]:
    """The usable keys of a set by id, the first of each id; other keys, and those beyond `MAX_KEYS`, are ignored.

    Raises `ValueError` or `RecursionError` for a document that is not a key set or has no usable key.
    """
    keys = {}
    for entry in reversed(_entries(document)[:MAX_KEYS]):
        key = _key(entry)
        if key is not None:
            keys[key.id] = key
    if not keys:
        raise ValueError("the key set has no key that can verify a signature here")
    return keys


def _entries(document: bytes) -> list[Any]:
    match json.loads(document):
        case {"keys": list(entries)}:
            return entries
        case _:
            raise ValueError("this is not a JSON Web Key Set")


def _key(jwk: Any) -> SigningKey | None:
    """The key if it is usable. A published private key (RFC 7518: member `d`) is not: anyone could sign with it."""
    match jwk:
        case {"d": _}:
            return None
        case {"kid": str(key_id)} if jwk.get("use", "sig") == "sig":
            algorithms = frozenset(each for each in _algorithms(jwk) if jwk.get("alg", each) == each)
            public = _public(jwk, min(algorithms)) if algorithms else None
            return None if public is None else SigningKey(key_id, public, algorithms)
        case _:
            return None


def _public(jwk: dict[str, Any], algorithm: str) -> AllowedPublicKeys | None:
    try:
        public: AllowedPublicKeys = PyJWK(jwk, algorithm).key
    except PyJWTError:
        return None
    return None if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS else public


def _algorithms(jwk: dict[str, Any]) -> frozenset[str]:
    match jwk:
        case {"kty": "RSA"}:
            return RSA_ALGORITHMS
        case {"kty": "EC", "crv": "P-256"}:
            return frozenset({"ES256"})
        case {"kty": "EC", "crv": "P-384"}:
            return frozenset({"ES384"})
        case {"kty": "EC", "crv": "P-521"}:
            return frozenset({"ES512"})
        case {"kty": "OKP", "crv": "Ed25519"}:
            return frozenset({"EdDSA"})
        case _:
            return frozenset()
