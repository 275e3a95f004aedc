"""Secrets that are told apart from everything else, and the search for them in whatever leaves a service."""

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, quote, urlsplit

SHORTEST = 12
"""What is shorter could stand anywhere by chance."""


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """Each form in which a secret can leave a service: whole or by half, as it is or encoded."""
    middle = len(secret) // 2
    for part, text in (("all", secret), ("the first half", secret[:middle]), ("the second half", secret[middle:])):
        yield f"{part}", text
        yield f"{part} in hex", text.encode().hex()
        yield f"{part} in percent", "".join(f"%{byte:02x}" for byte in text.encode())
        yield f"{part} quoted", quote(text, safe="")
        for shift in range(3):
            yield f"{part} in base64", _base64(text, shift)


def _base64(text: str, shift: int) -> str:
    """What base64 makes of a text that stands so many bytes behind a multiple of three, without what lies around it."""
    encoded = base64.b64encode(b"\0" * shift + text.encode()).decode()
    return encoded.rstrip("=")[(0, 2, 3)[shift] : -2]


def leaks(secrets: Mapping[str, str], sinks: Mapping[str, str]) -> list[str]:
    """A sentence for each secret that is found."""
    found = []
    for sink, content in sinks.items():
        lowered = content.lower().replace("-", "+").replace("_", "/")
        for name, secret in secrets.items():
            assert len(secret) >= 2 * SHORTEST, name
            for form, text in forms(secret):
                if text.lower().replace("-", "+").replace("_", "/") in lowered:
                    found.append(f"{name}, {form}, in {sink}")
    return found


def secrets_of(url: str) -> dict[str, str]:
    """What makes a presigned URL worth having."""
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    wanted = ("signature", "x-amz-signature", "x-amz-security-token", "x-amz-credential")
    return {name: query[name] for name in wanted if name in query}
