"""Errors as MLflow's clients read them: a JSON object of a code and a message, which they show.

The clients pick the exception by the code and repeat what has status 429 or 503 by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import Scope

from modelkeep.domain.errors import ConflictError, InvalidError
from modelkeep.http.failures import Failure
from modelkeep.telemetry.redaction import without_credentials

_INVALID: Final = "INVALID_PARAMETER_VALUE"
_BY_CODE: Final[Mapping[str, tuple[int, str]]] = {
    "resource_already_exists": (400, "RESOURCE_ALREADY_EXISTS"),
    "alias_not_found": (400, _INVALID),
    "not_found": (404, "ENDPOINT_NOT_FOUND"),
    "method_not_allowed": (404, "ENDPOINT_NOT_FOUND"),
    "production_changed": (409, "RESOURCE_CONFLICT"),
}
_BY_STATUS: Final[Mapping[int, tuple[int, str]]] = {
    401: (401, "UNAUTHENTICATED"),
    403: (403, "PERMISSION_DENIED"),
    404: (404, "RESOURCE_DOES_NOT_EXIST"),
    409: (400, _INVALID),
    412: (409, "RESOURCE_CONFLICT"),
    413: (413, _INVALID),
    429: (429, "REQUEST_LIMIT_EXCEEDED"),
    500: (500, "INTERNAL_ERROR"),
    503: (503, "TEMPORARILY_UNAVAILABLE"),
}
_SENTENCES: Final[Mapping[str, str]] = {
    "credentials_required": "This registry asks for a token: set MLFLOW_TRACKING_TOKEN to a registry token.",
    "not_found": "This registry has no such endpoint. It keeps models and tracks no runs.",
    "method_not_allowed": "This endpoint takes another method.",
}


@dataclass(eq=False)
class ResourceAlreadyExistsError(ConflictError):
    """A model that is to be created is there."""

    model: str

    def __str__(self) -> str:
        return f"The model '{self.model}' exists already."


@dataclass(eq=False)
class InvalidParameterError(InvalidError):
    """A parameter that MLflow's clients may send, and that means nothing here; `sentence` says what to do."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


def render_error(_: Scope, failure: Failure) -> Response:
    """A failure in MLflow's form."""
    status, code = _BY_CODE.get(failure.code) or _BY_STATUS.get(failure.status, (400, _INVALID))
    message = without_credentials(_SENTENCES.get(failure.code, failure.detail))
    return JSONResponse({"error_code": code, "message": message}, status, headers=dict(failure.headers))
