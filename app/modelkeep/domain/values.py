"""Values that carry their own rules: parsed once where they enter, trusted afterwards."""

import base64
import hashlib
import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from ipaddress import ip_address
from types import NoneType
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

MAX_VERSION: Final = 2**32 - 1
"""The largest version number: a commit has 8 hex digits for it."""

MODEL_NAME_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?$"
ALIAS_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}$"

_MODEL_NAME = re.compile(MODEL_NAME_PATTERN.replace("$", r"\Z"))
_ALIAS = re.compile(ALIAS_PATTERN.replace("$", r"\Z"))
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_NUMBER = re.compile(r"v?([1-9][0-9]{0,9})\Z")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
_VERSION_LIKE = re.compile(r"v[0-9]+\Z")
_SHA256 = re.compile(SHA256_PATTERN.replace("$", r"\Z"))
_RESERVED_ALIASES = frozenset({"latest", "main", "production", "staging", "archived", "none"})
SMALLEST_METRIC: Final = 1e-130
LARGEST_METRIC: Final = 9.99e125

_EXACT_INTEGERS: Final = 2**53
"""A float holds every integer up to this one."""

_KINDS: Final[Mapping[type, str]] = {
    bool: "a truth value",
    str: "text",
    NoneType: "null",
    list: "a list",
    dict: "an object",
}


class Unset(Enum):
    """The type of `UNSET`, the default of arguments for which `None` is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Stage(StrEnum):
    """Where a version stands. At most one version of a model is in production."""

    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 content digest: 64 lower-case hex digits. Anything else raises `ValueError`."""

    hex: str

    def __post_init__(self) -> None:
        if not _SHA256.match(self.hex):
            raise ValueError("a SHA-256 digest is 64 lower-case hex digits")

    def __str__(self) -> str:
        return self.hex

    def as_s3_checksum(self) -> str:
        """The raw digest in base64, as S3 expects it."""
        return base64.b64encode(bytes.fromhex(self.hex)).decode("ascii")

    @classmethod
    def from_s3_checksum(cls, checksum: str) -> "Digest":
        """Parse S3's base64 form. Raises `ValueError` for anything but 32 bytes in base64."""
        return cls(base64.b64decode(checksum, validate=True).hex())


def digest_of_parts(parts: Iterable[Digest]) -> Digest:
    """The SHA-256 of the SHA-256s of an object's parts: all that S3 keeps of an object that was uploaded in parts."""
    return Digest(hashlib.sha256(b"".join(bytes.fromhex(part.hex) for part in parts)).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUrl:
    """Everything that a caller needs to move bytes; the headers are signed and must be sent as they are."""

    method: Literal["GET", "PUT"]
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by a loopback address or as `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_loopback_name(host: str) -> bool:
    """Whether a browser takes the host for this machine: a loopback address, or `localhost` or a name below it."""
    return is_loopback(host) or host.endswith(".localhost")


class RefKind(StrEnum):
    """The kinds of refs."""

    NUMBER = "number"
    LATEST = "latest"
    PRODUCTION = "production"
    STAGING = "staging"
    ALIAS = "alias"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Ref:
    """What names a version: `3`, `v3`, `latest`, `production`, `staging`, an alias, or a commit.

    `number` is set for a number and for a commit.
    """

    kind: RefKind
    text: str
    number: int | None = None


def parse_ref(text: str) -> Ref:
    """Parse a ref. Raises `ValueError` with a sentence that lists what a ref can be."""
    if _COMMIT.match(text):
        return Ref(RefKind.COMMIT, text, int(text[32:], 16))
    if (numbered := _NUMBER.match(text)) and int(numbered[1]) <= MAX_VERSION:
        return Ref(RefKind.NUMBER, text, int(numbered[1]))
    if text in {RefKind.LATEST, RefKind.PRODUCTION, RefKind.STAGING}:
        return Ref(RefKind(text), text)
    if text == Stage.ARCHIVED:
        raise ValueError("several versions may be archived: list them with ?stage=archived and name one by its number")
    if _ALIAS.match(text) and not is_reserved_alias(text):
        return Ref(RefKind.ALIAS, text)
    raise ValueError("a ref is a version number, latest, production, staging, an alias, or a commit of 40 hex digits")


def parse_moment(text: str) -> datetime:
    """Parse a time of RFC 3339, with its offset, into UTC. Raises `ValueError`."""
    try:
        if _MOMENT.match(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("a time is like 2026-01-31T12:00:00Z, or has an offset: +01:00, in a query written %2B01:00")


def check_model_name(name: str) -> str:
    """Return `name` if it is a model name; raise `ValueError` if not."""
    if not _MODEL_NAME.match(name):
        raise ValueError(
            "a model name has 1 to 96 letters, digits, dots, dashes and underscores, and starts and ends with a letter"
            " or digit"
        )
    if ".." in name or "--" in name or name.endswith(".git"):
        raise ValueError("a model name has no '..' and no '--', and does not end in '.git'")
    return name


def is_model_name(name: str) -> bool:
    """Whether `name` is a model name; tables of the public recipe may hold models under any other."""
    try:
        check_model_name(name)
    except ValueError:
        return False
    return True


def check_alias(alias: str) -> str:
    """Return `alias` if it has the form of an alias (it may still be reserved); raise `ValueError` if not."""
    if not _ALIAS.match(alias):
        raise ValueError("an alias has 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter")
    return alias


def fold_alias(alias: str) -> str:
    """What an alias is looked up by: it is unique in its model, and found, however its letters are written."""
    return alias.lower()


def is_reserved_alias(alias: str) -> bool:
    """Whether `alias`, in whatever case, would shadow another kind of ref."""
    folded = fold_alias(alias)
    return folded in _RESERVED_ALIASES or bool(_VERSION_LIKE.match(folded) or _COMMIT.match(folded))


def check_metric(value: object) -> float:
    """The float that a metric is stored as, of whatever is one number: it has `__float__`, as scalars of numpy have.

    Raises `ValueError` for any other value, for what the table cannot store exactly, and for an integer that a float
    does not hold.
    """
    if _is_no_number(value):
        raise ValueError(f"a metric is a number, not {_KINDS.get(type(value), type(value).__name__)}")
    exact: Any = _integer_of(value) or value
    try:
        number = float(exact)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if not math.isfinite(number) or (number and not SMALLEST_METRIC <= abs(number) <= LARGEST_METRIC):
        raise ValueError("a metric is finite, and 0 or between 1e-130 and 9.99e125 in size")
    if abs(number) >= _EXACT_INTEGERS and exact != number:
        raise ValueError("a metric holds no integer beyond 2**53 exactly; make it a tag")
    return number


def _is_no_number(value: object) -> bool:
    """Text, truth, several numbers, and what arrays hold beside real numbers."""
    kind = str(getattr(value, "dtype", type(value).__name__))
    return (
        isinstance(value, str | bytes | bool)
        or not hasattr(value, "__float__")
        or bool(getattr(value, "shape", ()))
        or any(word in kind for word in ("bool", "complex", "time"))
    )


def _integer_of(value: Any) -> int | None:
    try:
        return operator.index(value)
    except TypeError:
        return None


def metric_to_decimal(value: float) -> Decimal:
    """The shortest decimal that reads back as `value`: 0.1 stays 0.1."""
    return Decimal(repr(value))


ModelName = Annotated[
    str,
    AfterValidator(check_model_name),
    WithJsonSchema({"type": "string", "pattern": MODEL_NAME_PATTERN, "examples": ["fraud-detector"]}),
]
AliasName = Annotated[
    str,
    AfterValidator(check_alias),
    WithJsonSchema({"type": "string", "pattern": ALIAS_PATTERN, "examples": ["champion"]}),
]
VersionNumber = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]
