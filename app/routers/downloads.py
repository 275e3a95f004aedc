"""Where the bytes are."""

from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from app.dependencies import AnyRef, Downloads, FilePath, KnownCommits, Model, Reader
from app.domain.access.actions import Action
from app.domain.errors import ArtifactNotFoundError, ContentionError, ModelNotFoundError, VersionNotFoundError
from app.openapi import header, needs
from app.problems import answers
from app.schemas.downloads import DownloadResponse

router = APIRouter(prefix="/v1/models", tags=["downloads"])

_PROBLEMS: Final = answers(ModelNotFoundError, VersionNotFoundError, ArtifactNotFoundError, ContentionError)
_LOCATION: Final = {"Location": {"description": "A presigned URL.", "schema": {"type": "string", "format": "uri"}}}


@router.get(
    "/{model}/versions/{ref}/download",
    response_model=DownloadResponse,
    response_description="The version, and a presigned URL for each artifact.",
    responses={
        **_PROBLEMS,
        200: {"headers": header("ETag")},
        304: {"description": "You already have the version that answers to this ref.", "headers": header("ETag")},
    },
    openapi_extra=needs(Action.MODEL_READ),
)
async def get_download(
    model: Model, ref: AnyRef, known: KnownCommits, caller: Reader, downloads: Downloads
) -> Response:
    """Resolve a ref and get a URL for each artifact. The ETag changes when another version answers to the ref."""
    download = await downloads.locate(model, ref, caller, known_commits=known)
    headers = {"etag": f'"{download.version.commit}"'}
    if download.artifacts is None:
        return Response(status_code=304, headers=headers)
    return Response(DownloadResponse.of(download).model_dump_json(), headers=headers, media_type="application/json")


@router.get(
    "/{model}/versions/{ref}/artifacts/{path:path}",
    status_code=307,
    response_class=RedirectResponse,
    response_description="To a presigned URL.",
    responses={**_PROBLEMS, 307: {"headers": _LOCATION}},
    openapi_extra=needs(Action.MODEL_READ),
)
async def get_artifact(
    model: Model, ref: AnyRef, path: FilePath, caller: Reader, downloads: Downloads
) -> RedirectResponse:
    """Follow a redirect to one artifact: `curl -L`."""
    located = await downloads.locate_artifact(model, ref, path, caller)
    return RedirectResponse(located.url, 307)
