"""Errors as clients of the Hub read them: a code and a sentence in headers, and the sentence in the body.

By the code `huggingface_hub` picks the exception that it raises; without one, it turns a 404 into advice to check the
connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import Scope

from modelkeep.domain.errors import ArtifactNotFoundError
from modelkeep.domain.values import RefKind
from modelkeep.http.failures import Failure
from modelkeep.telemetry.redaction import without_credentials

REPO_NOT_FOUND: Final = "RepoNotFound"
"""Also of a 401: by it, clients say that the repository is absent or private."""

_CODES: Final[Mapping[str, str]] = {
    "model_not_found": REPO_NOT_FOUND,
    "version_not_found": "RevisionNotFound",
    "entry_not_found": "EntryNotFound",
}
_READ_ONLY: Final = "There is nothing at this address below /hf: this registry is written with modelkeep register."
_SENTENCES: Final[Mapping[str, str]] = {
    "credentials_required": "This registry asks for a token: set HF_TOKEN to a registry token.",
    "not_found": _READ_ONLY,
    "method_not_allowed": _READ_ONLY,
}
_MAX_SENTENCE: Final = 500


@dataclass(eq=False)
class EntryNotFoundError(ArtifactNotFoundError):
    """The version has no such file or folder; by `commit`, a client remembers that."""

    commit: str


def render_error(scope: Scope, failure: Failure) -> Response:
    """A failure in the form of the Hub. An answer to HEAD has no body, so it announces no JSON."""
    sentence = without_credentials(_sentence(failure))
    headers = {
        **failure.headers,
        "x-error-code": _code(failure),
        "x-error-message": _in_a_header(sentence),
        **_commit(failure.fields),
    }
    if scope["method"] == "HEAD":
        return Response(status_code=failure.status, headers=headers)
    return JSONResponse({"error": sentence}, failure.status, headers=headers)


def _code(failure: Failure) -> str:
    own = failure.code.title().replace("_", "")
    return _CODES.get(failure.code) or (REPO_NOT_FOUND if failure.status == 401 else own)  # noqa: PLR2004


def _sentence(failure: Failure) -> str:
    if failure.code == "version_not_found" and failure.fields["ref"] == RefKind.PRODUCTION:
        return f"{failure.fields['model']} has no production version; name one, such as revision='v3'."
    return _SENTENCES.get(failure.code, failure.detail)


def _in_a_header(sentence: str) -> str:
    """One line of ASCII."""
    return " ".join(sentence.encode("ascii", "backslashreplace").decode().split())[:_MAX_SENTENCE]


def _commit(fields: Mapping[str, Any]) -> dict[str, str]:
    return {"x-repo-commit": fields["commit"]} if "commit" in fields else {}
