"""The last resort: whatever looks like a secret is cut out of a text before it leaves the process.

No code is meant to put a secret into such a text, ours or a library's; this holds if one does.
"""

import re
from typing import Final

REDACTED: Final = "[redacted]"

_HINTS: Final = ("mr_", "hf_", "eyj", "signature", "credential", "security-token", "authorization", "bearer")
"""A text whose lower-case form has none of these has no secret; looking for them takes a tenth of the time."""

_CREDENTIALS: Final = r"""
      (?P<token> (?-i:mr)_[0-9a-z]{8,16}_ ) [0-9a-z]{20,} (?: _[0-9a-z]+ )?
    | (?P<hub_spelling> hf_ 6d725f (?: [0-9a-f]{2} ){8,16} 5f ) [0-9a-f]{40,}
    | (?-i:eyJ)[\w-]{16,} (?: \.[\w-]* )*
"""
_SIGNATURES_AND_HEADERS: Final = r"""
      (?P<parameter> (?: signature | credential | security-token ) (?: = | %3d ) ) [^\s&"'\\,]+
    | (?P<header> authorization ["'\\]* \s* [:=,] \s* (?: (?-i:b)(?=["']) )? ["'\\]* ) [^\s"'\\)}\]] [^"'\\]*
    | (?P<scheme> \b bearer \s+ (?: mr_[0-9a-z]{8,16}_ )? ) [^\s"'\\,]{8,}
"""
_FLAGS: Final = re.VERBOSE | re.IGNORECASE
_ALWAYS_SECRET: Final = re.compile(_CREDENTIALS, _FLAGS)
_SECRET: Final = re.compile(f"{_CREDENTIALS}|{_SIGNATURES_AND_HEADERS}", _FLAGS)


def redacted(text: str) -> str:
    """The text without registry tokens, JSON Web Tokens, signatures of URLs, and values of `Authorization`.

    The id of a registry token stays, by which it can be revoked.
    """
    lowered = text.lower()
    return _SECRET.sub(_cut, text) if any(hint in lowered for hint in _HINTS) else text


def without_credentials(text: str) -> str:
    """The text without registry tokens and JSON Web Tokens only: for sentences that explain how to send them."""
    return _ALWAYS_SECRET.sub(_cut, text)


def _cut(found: re.Match[str]) -> str:
    kept = found[found.lastgroup] if found.lastgroup else ""
    return f"{kept}{REDACTED}"
