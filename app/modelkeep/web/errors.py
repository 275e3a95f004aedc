"""Errors as pages."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from modelkeep.http.failures import Failure
from modelkeep.telemetry.redaction import redacted
from modelkeep.web.pages import show

_TITLES: Final = {
    HTTPStatus.UNAUTHORIZED: "Sign in",
    HTTPStatus.FORBIDDEN: "This is not for you",
    HTTPStatus.NOT_FOUND: "There is no such thing here",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed",
    HTTPStatus.SERVICE_UNAVAILABLE: "The registry cannot answer now",
}
_OTHER_TITLE: Final = "That did not work"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorView:
    """An error: what it is, and what to do next."""

    status: int
    detail: str
    request_id: str

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        return _TITLES.get(HTTPStatus(self.status), _OTHER_TITLE)


def render_error_page(scope: Scope, failure: Failure) -> Response:
    """A failure as a page, without the credentials that it may echo."""
    view = ErrorView(status=failure.status, detail=redacted(failure.detail), request_id=failure.request_id)
    page = show(scope, "error.html", view, status=failure.status)
    page.headers.update(failure.headers)
    return page
