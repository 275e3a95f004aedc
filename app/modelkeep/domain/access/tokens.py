"""Registry tokens: `mr_<id>_<secret>_<checksum>`, of which the registry keeps only a keyed digest of the secret.

The prefix and the checksum let secret scanners find leaked tokens, and let the registry refuse mistyped ones unread.
The secret has 256 random bits: no table of guesses and no slow hash would add anything, nor would a key kept elsewhere,
for whoever can write to the table can change what is production without any token.
"""

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from modelkeep.domain.access.grants import Grant

PREFIX: Final = "mr_"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
MAX_LIFE: Final = timedelta(days=366)
"""One year, whichever year it is."""

MAX_EXCHANGED_LIFE: Final = timedelta(minutes=15)

MAX_PRINCIPAL: Final = 128
"""Characters."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = re.compile(r"(mr_([0-9A-Za-z]{11})_([0-9A-Za-z]{43}))_([0-9a-f]{8})\Z")


class ApiTokenSecret(NamedTuple):
    """A token as its holder shows it: which one, and the proof."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """What is handed out once, and sent with each request."""
        body = f"mr_{self.id}_{self.secret}"
        return f"{body}_{zlib.crc32(body.encode()):08x}"

    @property
    def digest(self) -> str:
        """What is kept of the secret: HMAC-SHA256, keyed by the id."""
        return hmac.new(f"model-registry token {self.id}".encode(), self.secret.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A registry token as kept. `revision` grows with each write of it.

    One that a pipeline got in exchange has no grants of its own: it lasts as long as one of its `rules`, at most 15
    minutes. `principal` is in whose name it acts; several tokens may share it, so that one can replace another.
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

    def admits(self, credential: ApiTokenSecret) -> bool:
        """Whether the secret is this token's; takes the same time for every wrong one."""
        return hmac.compare_digest(self.digest, credential.digest)


def check_principal(name: str) -> None:
    """Raise `ValueError` with a sentence if no token that is made by hand may act in this name.

    A name with a colon is one that an issuer vouches for; a token must not pass for it in history or anywhere else.
    """
    if not 0 < len(name) <= MAX_PRINCIPAL or not name.isprintable() or ":" in name:
        raise ValueError(f"a principal is named by 1 to {MAX_PRINCIPAL} printable characters, none of them a colon")


def new_secret(randomness: bytes) -> ApiTokenSecret:
    """Make a token's id and secret of 40 random bytes."""
    if len(randomness) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"a token is made of {ID_BYTES + SECRET_BYTES} random bytes")
    return ApiTokenSecret(_base62(randomness[:ID_BYTES], 11), _base62(randomness[ID_BYTES:], 43))


def parse_secret(text: str) -> ApiTokenSecret | None:
    """Read a token; `None` for what is none: another form, or a checksum that does not fit."""
    found = _TOKEN.match(text)
    if found is None or f"{zlib.crc32(found[1].encode()):08x}" != found[4]:
        return None
    return ApiTokenSecret(found[2], found[3])


def _base62(randomness: bytes, length: int) -> str:
    number, digits = int.from_bytes(randomness), ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
