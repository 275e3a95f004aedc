"""From errors to HTTP: one table of statuses, RFC 9457 bodies, and what OpenAPI says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match

from modelkeep.domain.errors import (
    ActionForbiddenError,
    ConflictError,
    ContentionError,
    CredentialsRequiredError,
    ForbiddenError,
    HeaderFieldsTooLargeError,
    IdempotencyKeyReusedError,
    InvalidError,
    InvalidRequestError,
    InvalidTokenError,
    IssuerUnavailableError,
    LengthRequiredError,
    MalformedError,
    MalformedPathError,
    NotFoundError,
    NoTrustRuleError,
    OutcomeUnknownError,
    PreconditionFailedError,
    PreconditionRequiredError,
    RangeNotSatisfiableError,
    RegistryError,
    RequestTimeoutError,
    RequestTooLargeError,
    TemporaryError,
    TokenExpiredError,
    TooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from modelkeep.http.openapi import header
from modelkeep.schemas.problems import Problem
from modelkeep.telemetry.redaction import without_credentials

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
    InvalidError: 422,
    PreconditionRequiredError: 428,
    HeaderFieldsTooLargeError: 431,
    TooManyRequestsError: 429,
    TemporaryError: 503,
}
"""A subclass has the status of its base."""

MEDIA_TYPE: Final = "application/problem+json"

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

_TITLES: Final = {
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""The standard library changed these between Python versions."""

_HTTP_PROBLEMS: Final = {
    404: ("not_found", "There is nothing at this address. The README lists the routes."),
    405: ("method_not_allowed", "This address takes other methods; the Allow header lists them."),
}

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NO_OBJECT: Final = frozenset({"missing", "model_attributes_type"})

_log = structlog.get_logger("modelkeep.http.problems")


def error_responses(*errors: type[RegistryError], asks_who: bool = True) -> Responses:
    """What OpenAPI says of the problems of a route: under each status, the codes that it may have."""
    codes: dict[int, list[str]] = {}
    for error in (*_ALWAYS, *(_OF_CALLERS if asks_who else ()), *errors):
        codes.setdefault(_status(error), []).append(f"`{error.code()}`")
    described: Responses = {status: {"description": ", ".join(codes[status]), **_PROBLEM} for status in sorted(codes)}
    for status in described.keys() & {429, 503}:
        described[status]["headers"] = header("Retry-After")
    return described


def install(app: FastAPI) -> None:
    """Let every error of the app become a problem."""
    app.add_exception_handler(RegistryError, _registry_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    app.add_exception_handler(HTTPException, _http_problem)


def problem(request: Request, error: RegistryError) -> JSONResponse:
    """The answer to a registry error: its sentence, its code and its own fields."""
    if isinstance(error, TemporaryError):
        _log.warning("not served", code=error.code(), detail=str(error), request_id=request_id(request))
    extra = {field.name: getattr(error, field.name) for field in fields(error)}
    extra.pop("reason", None)
    return _answer(request, _status(type(error)), error.code(), str(error), headers=_headers(error), extra=extra)


def internal_error(request: Request) -> JSONResponse:
    """The answer to what nobody expected: nothing of it leaks."""
    detail = "The service failed in a way it should not. Report the request_id to its operator."
    return _answer(request, 500, "internal_error", detail)


async def _registry_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RegistryError):
        raise error
    return problem(request, error)


async def _validation_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return problem(request, MalformedError())
    return problem(request, InvalidRequestError([_fault(fault) for fault in found[:20]]))


async def _http_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.__cause__, RegistryError):
        return problem(request, error.__cause__)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return problem(request, MalformedError())
    code, detail = _HTTP_PROBLEMS.get(error.status_code, ("http_error", "The request cannot be served."))
    headers = {"allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return _answer(request, error.status_code, code, detail, headers=headers)


def _allowed(request: Request) -> str:
    """The methods of all routes at this address; the framework's own answer names those of one route only."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return ", ".join(method for method in _METHODS if takes(method))


def _answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> JSONResponse:
    body = {
        **(extra or {}),
        **Problem(
            type=f"/problems/{code.replace('_', '-')}",
            title=_TITLES.get(status) or HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            instance=quote(request.scope["path"], safe="/@=+"),
            code=code,
            request_id=request_id(request),
        ).model_dump(),
    }
    request.state.code = code
    return _ProblemResponse(body, status, headers=headers)


class _ProblemResponse(JSONResponse):
    """Echoes names and the path, but no token that somebody took for one."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Make the body."""
        return without_credentials(super().render(content).decode()).encode()


def _status(error: type[RegistryError]) -> int:
    return next(STATUS[base] for base in error.__mro__ if base in STATUS)


def request_id(request: Request) -> str:
    """The id that the middleware gave the request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def _headers(error: RegistryError) -> dict[str, str]:
    if isinstance(error, TemporaryError | TooManyRequestsError):
        return {"retry-after": str(error.retry_after)}
    if isinstance(error, UnauthenticatedError):
        why = "" if isinstance(error, CredentialsRequiredError) else ', error="invalid_token"'
        return {"www-authenticate": f'Bearer realm="modelkeep"{why}'}
    if isinstance(error, RangeNotSatisfiableError):
        return {"content-range": f"bytes */{error.size}"}
    return {}


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    if tuple(fault["loc"]) == ("body",) and fault["type"] in _NO_OBJECT:
        return {"location": "body", "message": "send a JSON object, with Content-Type: application/json"}
    message = str(fault["msg"]).removeprefix("Value error, ")
    return {"location": _location(fault["loc"]), "message": message[:1].lower() + message[1:]}


def _location(parts: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in parts if part != "[key]")[:200]
