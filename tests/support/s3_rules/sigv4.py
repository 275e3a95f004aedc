"""AWS's Signature Version 4 for S3, written from its description and without a line of the SDK.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import quote, quote_from_bytes, unquote, unquote_to_bytes

from tests.support.faults.proxy import Request

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Scope:
    """What a signing key is good for."""

    access_key: str
    date: str
    region: str
    service: str
    end: str

    @classmethod
    def read(cls, credential: str) -> "Scope | None":
        """Read `key/20261120/us-east-1/s3/aws4_request`."""
        fields = credential.split("/")
        return cls(*fields) if len(fields) == 5 else None


def signature(request: Request, scope: Scope, secret: str, *, date: str, signed: Sequence[str], payload: str) -> str:
    """Return the signature that the request must have; a signed header that is missing counts as empty."""
    text = "\n".join([ALGORITHM, date, _scope(scope), sha256(_canonical(request, signed, payload)).hexdigest()])
    return hmac.new(_key(scope, secret), text.encode(), sha256).hexdigest()


def parameters(query: str) -> list[tuple[str, str]]:
    """Read a query; a plus is a plus."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _canonical(request: Request, signed: Sequence[str], payload: str) -> bytes:
    query = sorted(
        (_encoded(name), _encoded(value)) for name, value in parameters(request.query) if name != "X-Amz-Signature"
    )
    lines = [
        request.method,
        quote_from_bytes(unquote_to_bytes(request.path), safe="/-_.~"),
        "&".join(f"{name}={value}" for name, value in query),
        *(f"{name}:{_trimmed(request.headers, name)}" for name in signed),
        "",
        ";".join(signed),
        payload,
    ]
    return "\n".join(lines).encode()


def _key(scope: Scope, secret: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for step in (scope.date, scope.region, scope.service, scope.end):
        key = hmac.new(key, step.encode(), sha256).digest()
    return key


def _scope(scope: Scope) -> str:
    return f"{scope.date}/{scope.region}/{scope.service}/{scope.end}"


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _trimmed(headers: Mapping[str, str], name: str) -> str:
    return " ".join(headers.get(name, "").split())
