"""The addresses of the face, and what answers them: parse, one call, shape."""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from modelkeep.domain.errors import ModelNotFoundError
from modelkeep.faces.huggingface.errors import EntryNotFoundError
from modelkeep.faces.huggingface.files import entries_of, siblings_of, tree_of
from modelkeep.faces.huggingface.naming import Naming
from modelkeep.faces.huggingface.requests import Address, HubRequest
from modelkeep.faces.huggingface.resolving import find_version, get_file, head_file, stale_header
from modelkeep.faces.huggingface.schemas import CommitInfo, ModelInfo, Refs, as_json, whoami

PREFIX: Final = "/hf/"


async def get_model(request: HubRequest) -> Response:
    """Describe a version."""
    found = await request.services.downloads.describe(request.model, request.ref, request.caller())
    siblings = siblings_of(found.version, with_blobs=request.asks_for("blobs"))
    return _answer(ModelInfo.of(request.repository, found.version, siblings), stale_header(found))


async def get_tree(request: HubRequest) -> Response:
    """List a folder of a version."""
    found, version = await find_version(request)
    recursive, expand = request.asks_for("recursive"), request.asks_for("expand")
    entries = tree_of(version, request.path, is_recursive=recursive, with_commits=expand)
    if entries is None:
        raise EntryNotFoundError(version.model, version.number, request.path, version.commit)
    return _answer(entries, stale_header(found))


async def list_paths(request: HubRequest) -> Response:
    """Describe the files and folders that the body names."""
    found, version = await find_version(request)
    fields = await request.fields()
    expand = request.is_true(*fields.get("expand", ()))
    return _answer(entries_of(version, fields.get("paths", ()), with_commits=expand), stale_header(found))


async def list_refs(request: HubRequest) -> Response:
    """List the branches and tags of a model."""
    versions = await request.services.versions.named(request.model, request.caller())
    return _answer(Refs.of(versions, request.naming.main_of(versions)))


async def list_commits(request: HubRequest) -> Response:
    """List the version that a revision names, and those before it, newest first."""
    _, version = await find_version(request)
    versions = await request.services.versions.newest(request.model, request.caller(), up_to=version.number)
    return _answer([CommitInfo.of(each) for each in versions])


async def list_models(request: HubRequest) -> Response:
    """List models that have a production version, by name."""
    author, naming, models = request.query("author"), request.naming, request.services.models
    search, cursor = request.query("search"), request.query("cursor") or None
    page = await models.list_with_production(request.caller(), containing=search, cursor=cursor, limit=request.limit)
    is_known = not author or naming.has_owner(author)
    infos = [
        ModelInfo.of(naming.repository(head.model, author), version)
        for head, version in page.items
        if is_known and version
    ]
    return _answer(infos, _next_link(request, page.next_cursor) if is_known else {})


async def check_access(request: HubRequest) -> Response:
    """Answer if the caller may read the model."""
    await request.services.models.get(request.model, request.caller())
    return JSONResponse({})


async def get_principal(request: HubRequest) -> Response:
    """Name the caller's principal."""
    return JSONResponse(whoami(request.caller().identify()))


async def refuse_other_kind(request: HubRequest) -> Response:
    """There are no datasets and no spaces here."""
    raise ModelNotFoundError(request.parameters["rest"].strip("/"))


def _answer(content: BaseModel | Iterable[BaseModel], headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(as_json(content), headers=headers)


def _next_link(request: HubRequest, cursor: str | None) -> dict[str, str]:
    if cursor is None:
        return {}
    url = Request(request.scope).url
    return {"link": f'<{url.include_query_params(cursor=cursor)}>; rel="next"'}


ADDRESSES: Final = (
    Address("/hf/{repository}/{resolve|raw}/{ref}/{path}", HEAD=head_file, GET=get_file),
    Address("/hf/api/models/{repository}/tree/{ref}[/{path}]", GET=get_tree),
    Address("/hf/api/models/{repository}/paths-info/{ref}", POST=list_paths),
    Address("/hf/api/models/{repository}/revision/{ref}", GET=get_model),
    Address("/hf/api/models/{repository}/commits/{ref}", GET=list_commits),
    Address("/hf/api/models/{repository}/refs", GET=list_refs),
    Address("/hf/api/models/{repository}/auth-check", GET=check_access),
    Address("/hf/api/models/{repository}", GET=get_model),
    Address("/hf/api/models", GET=list_models),
    Address("/hf/api/whoami-v2", GET=get_principal),
    Address("/hf/api/{kind}/{rest}", GET=refuse_other_kind),
    Address("/hf/{kind}/{rest}", GET=refuse_other_kind, HEAD=refuse_other_kind),
)
"""The first that fits is it."""


class HuggingFaceRoutes(BaseRoute):
    """All routes below `/hf`. They are matched by the path as it was sent: a `%2F` does not end a segment."""

    name = "huggingface"

    def __init__(self, naming: Naming) -> None:
        self._naming = naming

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match an address below `/hf`, partially if it does not take the method."""
        raw_path = (scope.get("raw_path") or b"").decode("latin-1")
        if scope["type"] != "http" or not raw_path.startswith(PREFIX):
            return Match.NONE, {}
        for address in ADDRESSES:
            parameters = address.parse(raw_path)
            if parameters is not None:
                match = Match.FULL if scope["method"] in address.handlers else Match.PARTIAL
                return match, {"route": address, "path_params": parameters}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the handler of the address. Raises `HTTPException` with 405 if it has none for the method."""
        handler = scope["route"].handlers.get(scope["method"])
        if handler is None:
            raise HTTPException(405)
        response = await handler(HubRequest(scope, receive, scope["path_params"], self._naming))
        await response(scope, receive, send)
