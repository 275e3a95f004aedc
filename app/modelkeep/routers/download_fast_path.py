"""A fast path for the one request that a thousand containers send at once.

Between a request and its service, FastAPI has two searches through the routes, an exit stack and a dozen dependencies:
several times what the service itself takes. `GET /v1/models/{model}/versions/{ref}/download` without a query, with
well-formed names, bypasses them and calls the same handler. Anything else is left to the route of that address.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple, cast

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from modelkeep.domain.values import Ref, check_model_name, parse_ref
from modelkeep.http.context import context_of, first_header
from modelkeep.http.dependencies import known_commits
from modelkeep.routers.downloads import get_download, router

_PATH: Final = re.compile(r"/v1/models/([^/]+)/versions/([^/]+)/download")
_CACHED_PATHS: Final = 4_096
_ROUTE: Final = next(route for route in router.routes if getattr(route, "name", "") == "get_download")


class ParsedDownload(NamedTuple):
    """The path of a download, parsed."""

    model: str
    ref: Ref


class DownloadFastPath(BaseRoute):
    """A route before all others, which takes the downloads that need no validation beyond their path."""

    name = "download_fast_path"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a download without a query whose names are well formed."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return Match.NONE, {}
        parsed = _parse(scope["path"])
        if parsed is None:
            return Match.NONE, {}
        return Match.FULL, {"route": _ROUTE, "path_params": {"model": parsed.model, "ref": parsed.ref.text}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the handler of the ordinary route."""
        context, parsed = context_of(scope), cast("ParsedDownload", _parse(scope["path"]))
        response = await get_download(
            parsed.model,
            parsed.ref,
            known_commits(first_header(scope, b"if-none-match")),
            context.bind_caller(),
            context.services.downloads,
        )
        await response(scope, receive, send)


@lru_cache(_CACHED_PATHS)
def _parse(path: str) -> ParsedDownload | None:
    """The model and ref of a download's path; `None` for another path, or if a name is malformed."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    try:
        return ParsedDownload(check_model_name(found[1]), parse_ref(found[2]))
    except ValueError:
        return None
