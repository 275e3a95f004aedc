"""What surrounds a request by its path, in one table that every middleware reads.

A protocol that moves in brings rows of its own: another form of errors, other credentials, other headers.
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
"""The browser loads and calls nothing but this service."""

_PARAMETER: Final = re.compile(r"\{\w+(:path)?\}")


def headers_with(csp: str) -> Headers:
    """The headers of every answer that does not set them itself, with this Content-Security-Policy."""
    return (
        (b"cache-control", b"no-store"),
        (b"content-security-policy", csp.encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
    )


DEFAULT_HEADERS: Final = headers_with(STRICT_CSP)


@dataclass(frozen=True, slots=True)
class RouteRow:
    """What holds for the requests of some paths. Without further words: the strictest.

    `path` is written as routes are: `{name}` is one segment, `{name:path}` one character or more. One that ends in `/`
    covers all paths that begin so. A public path is answered without credentials and without a decision on them. A
    streamed one takes bodies of any length. While the table cannot be read, a `GET` may be answered stale, to callers
    that were known lately.
    """

    path: str
    is_public: bool = False
    is_streamed: bool = False
    may_serve_stale: bool = False
    render_error: ErrorRenderer = render_problem
    credential_sources: Sequence[CredentialSource] = (BEARER,)
    default_headers: Headers = DEFAULT_HEADERS


UNLISTED: Final = RouteRow("")
"""For paths that no row covers: there is no route, and callers without credentials do not learn that."""

ROWS: Final = (
    RouteRow("/healthz", is_public=True),
    RouteRow("/readyz", is_public=True),
    RouteRow("/metrics", is_public=True),
    RouteRow("/openapi.json", is_public=True),
    RouteRow("/docs", is_public=True, default_headers=headers_with(DOCS_CSP)),
    RouteRow("/docs/", is_public=True),
    RouteRow("/local-store/", is_public=True, is_streamed=True),
    RouteRow("/v1/models/{model}/versions/{ref}/download", may_serve_stale=True),
    RouteRow("/v1/models/{model}/versions/{ref}/artifacts/{path:path}", may_serve_stale=True),
    RouteRow("/v1/"),
)
"""The documentation holds nothing that is anybody's own. The local store's routes enforce their signed URLs."""


class RouteTable:
    """Rows, of which the first that covers a path counts."""

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
    return f"{pattern}.*" if path.endswith("/") else pattern
