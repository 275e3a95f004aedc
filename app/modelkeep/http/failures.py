"""What a caller is told of an error, before it takes the form of a protocol."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Scope

from modelkeep.domain.errors import (
    ConflictError,
    ForbiddenError,
    ForeignHostError,
    HeaderFieldsTooLargeError,
    InvalidError,
    LengthRequiredError,
    MalformedError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
    RangeNotSatisfiableError,
    RegistryError,
    RequestTimeoutError,
    TemporaryError,
    TooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
)

STATUS: Final[Mapping[type[RegistryError], int]] = {
    MalformedError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    RequestTimeoutError: 408,
    ConflictError: 409,
    LengthRequiredError: 411,
    PreconditionFailedError: 412,
    TooLargeError: 413,
    RangeNotSatisfiableError: 416,
    ForeignHostError: 421,
    InvalidError: 422,
    PreconditionRequiredError: 428,
    HeaderFieldsTooLargeError: 431,
    TooManyRequestsError: 429,
    TemporaryError: 503,
}
"""A subclass has the status of its base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in no form yet. `headers` belong to the answer in every form; `fields` are those of the error."""

    status: int
    code: str
    detail: str
    request_id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


ErrorRenderer = Callable[[Scope, Failure], Response]
"""Renders a failure in the form of a protocol. It must redact credentials in what it echoes (`telemetry.redaction`)."""


def status_of(error: type[RegistryError]) -> int:
    """The status of an error, which is that of its nearest base in the table."""
    return next(STATUS[base] for base in error.__mro__ if base in STATUS)


def failure_of(error: RegistryError, request_id: str, challenge: str) -> Failure:
    """The failure of a registry error. A 401 gets `challenge` as its `WWW-Authenticate`, unless that is empty."""
    own = {each.name: getattr(error, each.name) for each in fields(error) if each.name != "reason"}
    return Failure(
        status=status_of(type(error)),
        code=error.code(),
        detail=str(error),
        request_id=request_id,
        headers=_headers(error, challenge),
        fields=own,
    )


def _headers(error: RegistryError, challenge: str) -> dict[str, str]:
    if isinstance(error, TemporaryError | TooManyRequestsError):
        return {"retry-after": str(error.retry_after)}
    if isinstance(error, UnauthenticatedError) and challenge:
        return {"www-authenticate": challenge}
    if isinstance(error, RangeNotSatisfiableError):
        return {"content-range": f"bytes */{error.size}"}
    return {}
