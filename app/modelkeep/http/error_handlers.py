"""Answers every error of the app by the renderer that the route table names for its path."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from modelkeep.domain.errors import (
    InvalidRequestError,
    MalformedError,
    RegistryError,
    TemporaryError,
    UnauthenticatedError,
)
from modelkeep.http.context import RequestContext, context_of
from modelkeep.http.credentials import challenge_of
from modelkeep.http.failures import Failure, failure_of
from modelkeep.kit.validation_texts import in_plain_words

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NOT_AN_OBJECT: Final = frozenset({"missing", "model_attributes_type"})
_HTTP_FAILURES: Final = {
    404: ("not_found", "There is nothing at this address. `modelkeep docs http-api` lists the routes."),
    405: ("method_not_allowed", "This address takes other methods; the Allow header lists them."),
}
_OTHER_HTTP_FAILURE: Final = ("http_error", "The request cannot be served.")

_log = structlog.get_logger("modelkeep.http.problems")


def install(app: FastAPI) -> None:
    """Register the handlers of all errors that routes raise."""
    app.add_exception_handler(RegistryError, _answer_registry_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)


def render_error(scope: Scope, error: RegistryError) -> Response:
    """The answer to a registry error: its sentence, its code and its own fields."""
    context = context_of(scope)
    if isinstance(error, TemporaryError):
        _log.warning("request_unavailable", code=error.code(), detail=str(error), request_id=context.request_id)
    sources = context.row.credential_sources
    challenge = challenge_of(sources, error) if isinstance(error, UnauthenticatedError) else ""
    return _render(scope, context, failure_of(error, context.request_id, challenge))


def render_internal_error(scope: Scope) -> Response:
    """The answer to an unhandled exception: it shows nothing of it."""
    context = context_of(scope)
    failure = Failure(
        status=500,
        code="internal_error",
        detail="The service failed in a way it should not. Report the request_id to its operator.",
        request_id=context.request_id,
    )
    return _render(scope, context, failure)


def _render(scope: Scope, context: RequestContext, failure: Failure) -> Response:
    context.problem_code = failure.code
    return context.row.render_error(scope, failure)


async def _answer_registry_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RegistryError):
        raise error
    return render_error(request.scope, error)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return render_error(request.scope, MalformedError())
    return render_error(request.scope, InvalidRequestError([_fault(fault) for fault in found[:20]]))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.__cause__, RegistryError):
        return render_error(request.scope, error.__cause__)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return render_error(request.scope, MalformedError())
    context = context_of(request.scope)
    code, detail = _HTTP_FAILURES.get(error.status_code, _OTHER_HTTP_FAILURE)
    is_of_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    failure = Failure(
        status=error.status_code,
        code=code,
        detail=detail,
        request_id=context.request_id,
        headers={"allow": _allowed_methods(request)} if is_of_method else dict(error.headers or {}),
    )
    return _render(request.scope, context, failure)


def _allowed_methods(request: Request) -> str:
    """The methods of all routes at this address; the framework's own answer names those of one route only.

    HEAD is answered wherever GET is.
    """

    def is_allowed(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return ", ".join(method for method in _METHODS if is_allowed("GET" if method == "HEAD" else method))


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    if tuple(fault["loc"]) == ("body",) and fault["type"] in _NOT_AN_OBJECT:
        return {"location": "body", "message": "send a JSON object, with Content-Type: application/json"}
    message = in_plain_words(str(fault["msg"]))
    return {"location": _location(fault["loc"]), "message": message[:1].lower() + message[1:]}


def _location(parts: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in parts if part != "[key]")[:200]
