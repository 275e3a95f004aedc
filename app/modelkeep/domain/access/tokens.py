"""Registry tokens: `mr_<id>_<secret>_<checksum>`, of which the registry stores only a keyed digest of the secret.

By prefix and checksum, secret scanners find leaked tokens, and the registry refuses mistyped ones without a read.
The secret has 256 random bits, so a salt or a slow hash would add nothing. A key stored elsewhere would add nothing
either: write access to the table is enough to change production without any token.
"""

import hashlib
import hmac
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.principals import is_reserved

PREFIX: Final = "mr_"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
MAX_LIFE: Final = timedelta(days=366)
"""One year, leap years included."""

MAX_EXCHANGED_LIFE: Final = timedelta(minutes=15)

MAX_PRINCIPAL: Final = 128
"""Characters."""

HUB_PREFIX: Final = "hf_"
"""What tokens of the Hugging Face Hub begin with."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = re.compile(r"(mr_([0-9A-Za-z]{11})_([0-9A-Za-z]{43}))_([0-9a-f]{8})\Z")

_HUB_SPELLING: Final = re.compile(
    rf"{HUB_PREFIX}(?:(?P<plain>{PREFIX}.*)|(?P<hex>{PREFIX.encode().hex()}(?:[0-9a-f]{{2}})*))\Z", re.DOTALL
)


class ApiTokenSecret(NamedTuple):
    """A token as its holder presents it: its id, and the secret that proves it."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """The text that is handed out once and sent with each request."""
        body = f"mr_{self.id}_{self.secret}"
        return f"{body}_{zlib.crc32(body.encode()):08x}"

    @property
    def digest(self) -> str:
        """The stored form of the secret: HMAC-SHA256, keyed by the id."""
        return hmac.new(f"model-registry token {self.id}".encode(), self.secret.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A registry token as stored. `revision` grows with each write of it; `extra` is what a newer release wrote.

    `principal` is the name that it acts under; several tokens may share one, so that a new one can replace an old one.
    A token from an exchange has no `grants`: it has those of its `rules` while these exist, for at most 15 minutes.
    """

    id: str
    digest: str
    principal: str
    grants: tuple[Grant, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    rules: tuple[str, ...] = ()
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    revision: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def admits(self, credential: ApiTokenSecret) -> bool:
        """Whether the secret is this token's; compares in constant time."""
        return hmac.compare_digest(self.digest, credential.digest)


def check_principal(name: str) -> None:
    """Raise `ValueError` if no token that is made by hand may act under this name.

    A name with a colon belongs to an identity of an issuer, and some to the registry itself; no token may take those,
    in history or anywhere else.
    """
    if not 0 < len(name) <= MAX_PRINCIPAL or not name.isprintable() or ":" in name:
        raise ValueError(f"a principal is named by 1 to {MAX_PRINCIPAL} printable characters, none of them a colon")
    if is_reserved(name):
        raise ValueError(f"history uses '{name}' for the registry itself; choose another name")


def new_secret(randomness: bytes) -> ApiTokenSecret:
    """Make a token's id and secret from 40 random bytes."""
    if len(randomness) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"a token is made of {ID_BYTES + SECRET_BYTES} random bytes")
    return ApiTokenSecret(_base62(randomness[:ID_BYTES], 11), _base62(randomness[ID_BYTES:], 43))


def parse_secret(text: str) -> ApiTokenSecret | None:
    """Parse a token; `None` if the form or the checksum is wrong."""
    found = _TOKEN.match(text)
    if found is None or f"{zlib.crc32(found[1].encode()):08x}" != found[4]:
        return None
    return ApiTokenSecret(found[2], found[3])


def hub_spelling(token: str) -> str:
    """The token as clients of the Hugging Face Hub take it: some accept only `hf_` and then letters and digits."""
    return f"{HUB_PREFIX}{token.encode().hex()}"


def from_hub_spelling(text: str) -> str:
    """The registry token that was spelled `hf_` and itself, or by `hub_spelling`; any other text as it is."""
    found = _HUB_SPELLING.match(text)
    if found is None:
        return text
    return found["plain"] or bytes.fromhex(found["hex"]).decode("latin-1")


def _base62(randomness: bytes, length: int) -> str:
    number, digits = int.from_bytes(randomness), ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
