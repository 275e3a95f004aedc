"""Downloads: where the bytes of a version are."""

from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.downloads import Download
from modelkeep.domain.errors import (
    ArtifactNotFoundError,
    ContentionError,
    DigestUnknownError,
    ModelNotFoundError,
    VersionNotFoundError,
)
from modelkeep.http.dependencies import (
    Downloads,
    FilePath,
    FormatParam,
    IfNoneMatch,
    KnownCommits,
    Model,
    ReadCaller,
    RefParam,
    Wait,
    is_known,
)
from modelkeep.http.openapi import STALE, header, requires
from modelkeep.http.problems import error_responses
from modelkeep.schemas.download_texts import check_file, curl_config, shell_variables
from modelkeep.schemas.downloads import DownloadResponse, Format, download_body

router = APIRouter(prefix="/v1/models", tags=["downloads"])

_PROBLEMS: Final = error_responses(
    ModelNotFoundError, VersionNotFoundError, ArtifactNotFoundError, DigestUnknownError, ContentionError
)
_LOCATION: Final = {"Location": {"description": "A presigned URL.", "schema": {"type": "string", "format": "uri"}}}
_STALE: Final = header(STALE)
_OF_ARTIFACT: Final = {
    "ETag": {"description": "The artifact's SHA-256.", "schema": {"type": "string"}},
    "Content-Length": {"description": "The artifact's size.", "schema": {"type": "integer"}},
    "Repr-Digest": {"description": "The artifact's SHA-256 (RFC 9530).", "schema": {"type": "string"}},
}


@router.get(
    "/{model}/versions/{ref}/download",
    response_model=DownloadResponse,
    response_description="The version, and a presigned URL for each artifact.",
    responses={
        **_PROBLEMS,
        200: {"headers": header("ETag") | _STALE, "content": {"text/plain": {"schema": {"type": "string"}}}},
        304: {
            "description": "The ref still resolves to a version that you have.",
            "headers": header("ETag") | _STALE,
        },
    },
    openapi_extra=requires(Action.MODEL_READ),
)
async def get_download(
    model: Model,
    ref: RefParam,
    known: KnownCommits,
    caller: ReadCaller,
    downloads: Downloads,
    wait: Wait = 0,
    answer_format: FormatParam = Format.JSON,
) -> Response:
    """Resolve a ref and get a URL for each artifact. The ETag changes when the ref resolves to another version."""
    download = await downloads.locate(model, ref, caller, known_commits=known, wait=wait)
    return render_download(download, answer_format)


def render_download(download: Download, answer_format: Format = Format.JSON) -> Response:
    """The answer in the requested format; 304 if the caller already has the version."""
    headers = {"etag": f'"{download.version.commit}"', **_stale(download.stale_seconds)}
    located = download.signed
    if located is None:
        return Response(status_code=304, headers=headers)
    match answer_format:
        case Format.JSON:
            return Response(download_body(download, located), headers=headers, media_type="application/json")
        case Format.CURL:
            return PlainTextResponse(curl_config(download, located), headers=headers)
        case Format.SHA256SUM:
            return PlainTextResponse(check_file(download, located), headers=headers)
        case Format.ENV:
            return PlainTextResponse(shell_variables(download), headers=headers)


@router.get(
    "/{model}/versions/{ref}/artifacts/{path:path}",
    status_code=307,
    response_class=RedirectResponse,
    response_description="To a presigned URL.",
    responses={**_PROBLEMS, 307: {"headers": _LOCATION | _STALE}},
    openapi_extra=requires(Action.MODEL_READ),
)
async def get_artifact(
    model: Model, ref: RefParam, path: FilePath, caller: ReadCaller, downloads: Downloads
) -> RedirectResponse:
    """Redirect to one artifact, for `curl -L`."""
    redirect = await downloads.locate_artifact(model, ref, path, caller)
    return RedirectResponse(redirect.url.url, 307, _stale(redirect.stale_seconds))


@router.head(
    "/{model}/versions/{ref}/artifacts/{path:path}",
    response_class=Response,
    response_description="The artifact is there.",
    responses={
        **_PROBLEMS,
        200: {"headers": _OF_ARTIFACT | _STALE},
        304: {"description": "You have this artifact.", "headers": {"ETag": _OF_ARTIFACT["ETag"]} | _STALE},
    },
    openapi_extra=requires(Action.MODEL_READ),
)
async def head_artifact(
    model: Model,
    ref: RefParam,
    path: FilePath,
    caller: ReadCaller,
    downloads: Downloads,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read size and digest of one artifact, without a redirect; an adopted one may have neither yet."""
    found = await downloads.find_artifact(model, ref, path, caller)
    headers = _headers_of(found.artifact) | _stale(found.stale_seconds)
    if "etag" in headers and is_known(headers["etag"], if_none_match):
        return Response(status_code=304, headers={"etag": headers["etag"], **_stale(found.stale_seconds)})
    response = Response(headers=headers, media_type="application/octet-stream")
    if found.artifact.size is None:
        del response.headers["content-length"]
    return response


def _headers_of(artifact: Artifact) -> dict[str, str]:
    size = {} if artifact.size is None else {"content-length": str(artifact.size)}
    if artifact.sha256 is None:
        return size
    digest = artifact.sha256
    return {**size, "etag": f'"{digest}"', "repr-digest": f"sha-256=:{digest.as_s3_checksum()}:"}


def _stale(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {STALE: str(seconds)}
