"""How requests for pages are treated: the rows that they add to the route table."""

from typing import Final

from modelkeep.http.route_table import Headers, RouteRow, headers_with
from modelkeep.web.errors import render_error_page

PAGE_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""A page loads from this service only, and nothing that is written into it runs."""

_HEADERS: Final[Headers] = (*headers_with(PAGE_CSP), (b"referrer-policy", b"same-origin"))

ROWS: Final = (
    RouteRow("/", is_public=True, render_error=render_error_page, default_headers=_HEADERS),
    RouteRow("/ui/static/", is_public=True, render_error=render_error_page, default_headers=_HEADERS),
    RouteRow("/ui", render_error=render_error_page, default_headers=_HEADERS),
    RouteRow("/ui/", render_error=render_error_page, default_headers=_HEADERS),
)
