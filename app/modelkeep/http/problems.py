"""Failures as RFC 9457 problems, and what OpenAPI says of them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi.responses import JSONResponse
from starlette.types import Scope

from modelkeep.domain.errors import (
    ActionForbiddenError,
    ContentionError,
    CredentialsRequiredError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    InvalidTokenError,
    IssuerUnavailableError,
    MalformedError,
    MalformedPathError,
    NoTrustRuleError,
    OutcomeUnknownError,
    RegistryError,
    RequestTimeoutError,
    RequestTooLargeError,
    TokenExpiredError,
    TooManyRequestsError,
    UnavailableError,
)
from modelkeep.http.failures import Failure, status_of
from modelkeep.http.openapi import header
from modelkeep.schemas.problems import Problem
from modelkeep.telemetry.redaction import without_credentials

MEDIA_TYPE: Final = "application/problem+json"

STRICT_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
"""A problem has it also where pages may load more."""

Responses = dict[int | str, dict[str, Any]]

_PROBLEM: Final = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}

DEFAULT_RESPONSE: Final[Responses] = {"default": {"description": "Whatever else went wrong.", **_PROBLEM}}
"""What OpenAPI says of every route; without it FastAPI would promise a body of its own for 422."""

_ALWAYS: Final[tuple[type[RegistryError], ...]] = (
    MalformedError,
    MalformedPathError,
    InvalidRequestError,
    UnavailableError,
)
_OF_CALLERS: Final[tuple[type[RegistryError], ...]] = (
    CredentialsRequiredError,
    InvalidTokenError,
    TokenExpiredError,
    ActionForbiddenError,
    NoTrustRuleError,
    TooManyRequestsError,
    IssuerUnavailableError,
)
BODY_ERRORS: Final = (RequestTimeoutError, RequestTooLargeError)
WRITE_ERRORS: Final = (IdempotencyKeyReusedError, ContentionError, OutcomeUnknownError)

_TITLES: Final[Mapping[int, str]] = {
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The standard library changed these between Python versions."""


def error_responses(*errors: type[RegistryError], asks_who: bool = True) -> Responses:
    """What OpenAPI says of the problems of a route: under each status, the codes that it may have."""
    codes: dict[int, list[str]] = {}
    for error in (*_ALWAYS, *(_OF_CALLERS if asks_who else ()), *errors):
        codes.setdefault(status_of(error), []).append(f"`{error.code()}`")
    described: Responses = {status: {"description": ", ".join(codes[status]), **_PROBLEM} for status in sorted(codes)}
    for status in described.keys() & {429, 503}:
        described[status]["headers"] = header("Retry-After")
    return described


def render_problem(scope: Scope, failure: Failure) -> JSONResponse:
    """A failure as `application/problem+json`; its fields are extension members."""
    body = {
        **failure.fields,
        **Problem(
            type=f"/problems/{failure.code.replace('_', '-')}",
            title=_TITLES.get(failure.status) or HTTPStatus(failure.status).phrase,
            status=failure.status,
            detail=failure.detail,
            instance=quote(scope["path"], safe="/@=+"),
            code=failure.code,
            request_id=failure.request_id,
        ).model_dump(),
    }
    return _ProblemResponse(body, failure.status, headers={**failure.headers, "content-security-policy": STRICT_CSP})


class _ProblemResponse(JSONResponse):
    """Echoes names and the path, but no token that was sent in their place."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Make the body."""
        return without_credentials(super().render(content).decode()).encode()
