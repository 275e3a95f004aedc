"""Files of a version. HEAD says what they are, and GET leads to their bytes in storage.

HEAD is no redirect: several releases of `huggingface_hub` follow one with HEAD to a URL that is signed for GET alone.
"""

from typing import Final

from starlette.responses import RedirectResponse, Response

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.downloads import Resolved
from modelkeep.domain.errors import ArtifactNotFoundError
from modelkeep.domain.models import Version
from modelkeep.faces.huggingface.errors import EntryNotFoundError
from modelkeep.faces.huggingface.files import known_bytes
from modelkeep.faces.huggingface.requests import HubRequest
from modelkeep.http.dependencies import is_known
from modelkeep.http.openapi import STALE

_BYTES: Final = "application/octet-stream"


async def head_file(request: HubRequest) -> Response:
    """Say what a file is: its size, its SHA-256 and the commit that it is of."""
    found, version = await find_version(request)
    size, headers = _facts(found, _artifact(version, request.path))
    return Response(headers={**headers, "content-length": str(size)}, media_type=_BYTES)


async def get_file(request: HubRequest) -> Response:
    """Redirect to the bytes of a file, unless there are none, or the client has them."""
    found, version = await find_version(request)
    artifact = _artifact(version, request.path)
    size, headers = _facts(found, artifact)
    if is_known(headers["etag"], request.header(b"if-none-match")):
        return Response(status_code=304, headers=headers)
    if size == 0:
        no_range = {"content-range": "bytes */0"} if request.header(b"range") else {}
        return Response(headers={**headers, **no_range}, media_type=_BYTES)
    url = await request.services.downloads.sign(version, artifact)
    linked = {"x-linked-etag": headers["etag"], "x-linked-size": str(size)}
    return RedirectResponse(url.url, 302, {**headers, **linked})


async def find_version(request: HubRequest) -> tuple[Resolved, Version]:
    """What a revision resolves to, and the version of that."""
    found = await request.services.downloads.find_version(request.model, request.ref, request.caller())
    return found, found.version


def stale_header(found: Resolved) -> dict[str, str]:
    """The age of an answer from memory, while the table cannot be read."""
    return {} if found.stale_seconds is None else {STALE: str(found.stale_seconds)}


def _artifact(version: Version, path: str) -> Artifact:
    try:
        return version.artifact(path)
    except ArtifactNotFoundError:
        raise EntryNotFoundError(version.model, version.number, path, version.commit) from None


def _facts(found: Resolved, artifact: Artifact) -> tuple[int, dict[str, str]]:
    """The size of a file, and the headers of every answer that is about it. Raises `DigestUnknownError`."""
    size, digest = known_bytes(found.version, artifact)
    return size, {
        "x-repo-commit": found.version.commit,
        "etag": f'"{digest}"',
        "accept-ranges": "bytes",
        **stale_header(found),
    }
