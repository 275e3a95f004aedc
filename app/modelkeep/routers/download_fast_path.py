"""The way of the one request that a thousand containers send at once.

Between a request and its service stand, in FastAPI, two searches through the routes, an exit stack and a dozen
dependencies: several times what the service itself takes. `GET /v1/models/{model}/versions/{ref}/download` without a
query, in the usual form, goes past them. Anything else about it is left to the route of that address, whose answers are
the same.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from modelkeep.domain.values import Ref, check_model_name, parse_ref
from modelkeep.http.context import context_of
from modelkeep.http.dependencies import known_commits
from modelkeep.routers.downloads import answer, router

_ADDRESS: Final = re.compile(r"/v1/models/([^/]+)/versions/([^/]+)/download")
_REMEMBERED: Final = 4_096
_ROUTE: Final = next(route for route in router.routes if getattr(route, "name", "") == "get_download")


class ParsedDownload(NamedTuple):
    """The path of a download, parsed."""

    model: str
    ref: Ref


class DownloadFastPath(BaseRoute):
    """Stands before all other routes, and takes what it can answer."""

    name = "shortcut"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take a download without a query whose names are well formed."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return Match.NONE, {}
        asked = _read(scope["path"])
        if asked is None:
            return Match.NONE, {}
        return Match.FULL, {
            "route": _ROUTE,
            "path_params": {"model": asked.model, "ref": asked.ref.text},
            "asked": asked,
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as `get_download` does."""
        asked: ParsedDownload = scope["asked"]
        context = context_of(scope)
        known = known_commits(_if_none_match(scope))
        download = await context.services.downloads.locate(
            asked.model, asked.ref, context.bind_caller(), known_commits=known
        )
        await answer(download)(scope, receive, send)


@lru_cache(_REMEMBERED)
def _read(path: str) -> ParsedDownload | None:
    """What a path asks for; `None` if it is another one, or names what cannot be."""
    found = _ADDRESS.fullmatch(path)
    if found is None:
        return None
    try:
        return ParsedDownload(check_model_name(found[1]), parse_ref(found[2]))
    except ValueError:
        return None


def _if_none_match(scope: Scope) -> str:
    """The header; sent several times, it is what the framework takes: the first."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"), "")
