"""Renders failures as RFC 9457 problems, and documents them in OpenAPI."""

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
    ForeignHostError,
    ForeignOriginError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    InvalidTokenError,
    IssuerUnavailableError,
    MalformedError,
    MalformedPathError,
    MetadataTooLargeError,
    NewerFormatError,
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
"""Problems have it even where a page of the same path may load more."""

Responses = dict[int | str, dict[str, Any]]

_PROBLEM: Final = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}

DEFAULT_RESPONSE: Final[Responses] = {"default": {"description": "Any other error.", **_PROBLEM}}
"""Documented for every route; without it FastAPI would document a body of its own for 422."""

_ALWAYS: Final[tuple[type[RegistryError], ...]] = (
    MalformedError,
    MalformedPathError,
    InvalidRequestError,
    UnavailableError,
)
_AUTHENTICATION_ERRORS: Final[tuple[type[RegistryError], ...]] = (
    CredentialsRequiredError,
    InvalidTokenError,
    TokenExpiredError,
    ActionForbiddenError,
    NoTrustRuleError,
    ForeignHostError,
    ForeignOriginError,
    TooManyRequestsError,
    IssuerUnavailableError,
)
BODY_ERRORS: Final = (RequestTimeoutError, RequestTooLargeError)
WRITE_ERRORS: Final = (
    MetadataTooLargeError,
    IdempotencyKeyReusedError,
    ContentionError,
    NewerFormatError,
    OutcomeUnknownError,
)

_TITLES: Final[Mapping[int, str]] = {
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The standard library changed these between Python versions."""


def error_responses(*errors: type[RegistryError], is_public: bool = False) -> Responses:
    """The documented problems of a route: for each status, the codes that it may have.

    `errors` are added to those of every route, and of every route that is not public.
    """
    codes: dict[int, list[str]] = {}
    for error in (*_ALWAYS, *(() if is_public else _AUTHENTICATION_ERRORS), *errors):
        codes.setdefault(status_of(error), []).append(f"`{error.code()}`")
    responses: Responses = {status: {"description": ", ".join(codes[status]), **_PROBLEM} for status in sorted(codes)}
    for status in responses.keys() & {429, 503}:
        responses[status]["headers"] = header("Retry-After")
    return responses


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
