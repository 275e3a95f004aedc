"""Signed URLs of the local store: each allows one method on one key until it expires.

The signature (HMAC-SHA256) covers the method, the key and every query parameter, but not the host, because the service
may be reached under several names.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode
from uuid import uuid4

from modelkeep.domain.errors import SignatureMismatchError, UrlExpiredError
from modelkeep.storage.objects import StoreUnavailableError

SECRET_BYTES: Final = 32
_MAX_PARAMETERS: Final = 16


class Signer:
    """Signs and checks query strings with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, method: str, key: str, parameters: Mapping[str, str], *, expires_at: datetime) -> str:
        """The query string that allows `method` on `key`, with these parameters and no others."""
        signed = [("expires", str(int(expires_at.timestamp()))), *parameters.items()]
        return urlencode([*signed, ("signature", self._signature(method, key, signed))], quote_via=quote)

    def check(self, method: str, key: str, query: str, *, now: datetime) -> Mapping[str, str]:
        """The parameters of a query string. Raises `SignatureMismatchError` and `UrlExpiredError`."""
        pairs = _read(query)
        signed = [pair for pair in pairs if pair[0] != "signature"]
        given = [value for name, value in pairs if name == "signature"]
        if len(given) != 1 or not _equal(given[0], self._signature(method, key, signed)):
            raise SignatureMismatchError
        return _check_expiry(dict(signed), now)

    def _signature(self, method: str, key: str, signed: Sequence[tuple[str, str]]) -> str:
        message = json.dumps([method, key, sorted(signed)]).encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def _read(query: str) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise SignatureMismatchError from None


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _check_expiry(parameters: Mapping[str, str], now: datetime) -> Mapping[str, str]:
    expires_at = datetime.fromtimestamp(int(parameters["expires"]), UTC)
    if now >= expires_at:
        raise UrlExpiredError(f"{expires_at:%Y-%m-%dT%H:%M:%SZ}")
    return parameters


def load_secret(path: Path, *, staging: Path) -> bytes:
    """The secret, created on first use; all processes get the same one. Raises `StoreUnavailableError`."""
    if not path.exists():
        _create_secret(path, staging / uuid4().hex)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StoreUnavailableError(
            f"{path} does not have {SECRET_BYTES} bytes. Remove it: the next start creates a new one."
        )
    return secret


def _create_secret(path: Path, staged: Path) -> None:
    _write_private(staged)
    try:
        with suppress(FileExistsError):
            os.link(staged, path)
    finally:
        staged.unlink()


def _write_private(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 -- the mode must be right from the first moment
        file.write(secrets.token_bytes(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
