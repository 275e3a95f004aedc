"""How requests are treated by path: one table, which every middleware reads through the request's context.

Another protocol adds rows of its own, with its renderer of errors, its credential sources and its headers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelkeep.http.credentials import BEARER, CredentialSource
from modelkeep.http.failures import ErrorRenderer
from modelkeep.http.problems import STRICT_CSP, render_problem

Headers = tuple[tuple[bytes, bytes], ...]

DOCS_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For Swagger UI: the browser loads from and calls this service only."""

_PARAMETER: Final = re.compile(r"\{\w+(:path)?\}")


def headers_with(csp: str) -> Headers:
    """Headers of every answer that does not set them itself, with this Content-Security-Policy."""
    return (
        (b"cache-control", b"no-store"),
        (b"content-security-policy", csp.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
    )


DEFAULT_HEADERS: Final = headers_with(STRICT_CSP)


@dataclass(frozen=True, slots=True)
class RouteRow:
    """How the requests of some paths are treated; the defaults are the strictest.

    - `path` is written like a route: `{name}` is one segment, `{name:path}` one or more characters. A path that ends in
      `/` covers every path that begins with it, but for the root itself.
    - `is_public`: requests need no credentials, and answers no authorization decision.
    - `is_streamed`: the route reads a body of any length in pieces and limits it itself.
    - `takes_encoded_slashes`: the routes match the path as it was sent, where `%2F` is a part of a segment; on any
      other row it is refused.
    - `answers_head`: the routes answer HEAD themselves; on any other row it is GET without a body.
    - `may_serve_stale`: while the table cannot be read, a `GET` or `HEAD` of a recently authenticated caller passes.
    - `default_headers`: added to every answer that does not set them itself.
    """

    path: str
    is_public: bool = False
    is_streamed: bool = False
    takes_encoded_slashes: bool = False
    answers_head: bool = False
    may_serve_stale: bool = False
    render_error: ErrorRenderer = render_problem
    credential_sources: Sequence[CredentialSource] = (BEARER,)
    default_headers: Headers = DEFAULT_HEADERS


UNLISTED: Final = RouteRow("")
"""For paths that no row covers. They have no route, which a caller without credentials does not learn."""

ROWS: Final = (
    RouteRow("/healthz", is_public=True),
    RouteRow("/readyz", is_public=True),
    RouteRow("/metrics", is_public=True),
    RouteRow("/openapi.json", is_public=True),
    RouteRow("/docs", is_public=True, default_headers=headers_with(DOCS_CSP)),
    RouteRow("/docs/", is_public=True),
    RouteRow("/local-store/", is_public=True, is_streamed=True, answers_head=True),
    RouteRow("/v1/models/{model}/versions/{ref}/download", may_serve_stale=True),
    RouteRow("/v1/models/{model}/versions/{ref}/artifacts/{path:path}", may_serve_stale=True, answers_head=True),
    RouteRow("/v1/"),
)
"""Documentation is no secret. The routes of the local store check the signature of their URLs."""


class RouteTable:
    """Finds the row of a path: the first that covers it."""

    def __init__(self, rows: Sequence[RouteRow]) -> None:
        self._rows = rows
        self._covers = re.compile("|".join(f"({_pattern(row.path)})" for row in rows), re.DOTALL).fullmatch

    def row_for(self, path: str) -> RouteRow:
        """The row of a decoded path; `UNLISTED` if none covers it."""
        found = self._covers(path)
        return self._rows[found.lastindex - 1] if found and found.lastindex else UNLISTED


def _pattern(path: str) -> str:
    pattern, end = "", 0
    for parameter in _PARAMETER.finditer(path):
        pattern += re.escape(path[end : parameter.start()]) + (".+" if parameter[1] else "[^/]+")
        end = parameter.end()
    pattern += re.escape(path[end:])
    return f"{pattern}.*" if path.endswith("/") and path != "/" else pattern
