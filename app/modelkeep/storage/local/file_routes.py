"""The routes of the local store's URLs. They enforce what S3 enforces, and stream.

Errors are the registry's own, so that their responses are problems like all others of the service.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

from modelkeep.domain.errors import (
    BodyMismatchError,
    LengthRequiredError,
    MultipartNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SignedHeaderMismatchError,
)
from modelkeep.storage.local.file_uploads import SignedPut
from modelkeep.storage.local.files import ROUTE, FileStore
from modelkeep.storage.local.ranges import parse_range
from modelkeep.storage.objects import OCTET_STREAM, MultipartGoneError, StoredObject, attachment

_DOWNLOAD_HEADERS: Final = {
    "accept-ranges": "bytes",
    "cache-control": "no-store",
    "content-type": OCTET_STREAM,
    "x-content-type-options": "nosniff",
}


class _Download(StreamingResponse):
    """Closes the file when the transfer ends, also if it fails."""

    def __init__(self, blocks: AsyncGenerator[bytes, None], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(blocks, status, headers)
        self._blocks = blocks

    async def stream_response(self, send: Send) -> None:
        """Send the blocks, then close their source."""
        async with aclosing(self._blocks):
            await super().stream_response(send)


def create_router(find_store: Callable[[Request], FileStore]) -> APIRouter:
    """The routes of the store that `find_store` returns for a request."""
    router = APIRouter(include_in_schema=False)

    @router.put(ROUTE + "{key:path}")
    async def put_local_object(key: str, request: Request) -> Response:
        """Store the bytes that the URL allows, once."""
        files = find_store(request)
        put = SignedPut.from_parameters(key, _allowed("PUT", key, request, files))
        _check_headers(put, request.headers)
        with _translate_errors():
            await files.receive(put, _body(request.receive))
        return Response(headers={"etag": f'"{put.sha256}"'})

    @router.api_route(ROUTE + "{key:path}", methods=["GET", "HEAD"])
    async def get_local_object(key: str, request: Request) -> Response:
        """Send an object or one range of it. Unlike in S3, a URL for GET allows HEAD, which ignores ranges."""
        files = find_store(request)
        parameters = _allowed("GET", key, request, files)
        found = await files.stat(key)
        if found is None:
            raise ObjectNotFoundError
        _check_match(found, request.headers)
        if request.method == "HEAD":
            return Response(headers=_headers_of(found, range(found.size), parameters["filename"]))
        return _download(files, found, _positions(found, request.headers), parameters["filename"])

    return router


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """The body, without a reference to what was received last; `Request.stream` keeps one, for as long as it waits."""
    is_complete = False
    while not is_complete:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        is_complete = not message.get("more_body", False)
        yield message.pop("body", b"")


def _allowed(method: str, key: str, request: Request, files: FileStore) -> Mapping[str, str]:
    query: bytes = request.scope["query_string"]
    return files.check(method, key, query.decode("latin-1"))


def _check_headers(put: SignedPut, headers: Headers) -> None:
    if "content-length" not in headers:
        raise LengthRequiredError
    for name, value in put.headers.items():
        if headers.get(name) != value:
            raise SignedHeaderMismatchError(name)


def _check_match(found: StoredObject, headers: Headers) -> None:
    wanted = headers.get("if-match", "*")
    if wanted.strip() != "*" and _etag(found) not in [tag.strip() for tag in wanted.split(",")]:
        raise PreconditionFailedError


def _positions(found: StoredObject, headers: Headers) -> range | None:
    if headers.get("if-range", _etag(found)) != _etag(found):
        return None
    return parse_range(headers.get("range", ""), found.size)


def _etag(found: StoredObject) -> str:
    return f'"{found.sha256 or f"{found.size}-{found.modified_at.timestamp():.0f}"}"'


def _headers_of(found: StoredObject, part: range, filename: str) -> dict[str, str]:
    return _DOWNLOAD_HEADERS | {
        "content-disposition": attachment(filename),
        "content-length": str(len(part)),
        "etag": _etag(found),
    }


def _download(files: FileStore, found: StoredObject, positions: range | None, filename: str) -> Response:
    part = range(found.size) if positions is None else positions
    headers = _headers_of(found, part, filename)
    if positions is not None:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{found.size}"
    return _Download(files.read_slice(found.key, part), 200 if positions is None else 206, headers)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except MultipartGoneError:
        raise MultipartNotFoundError from None
    except ClientDisconnect:
        raise BodyMismatchError from None
