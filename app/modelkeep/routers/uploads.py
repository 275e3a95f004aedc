"""Uploads: from a registration to a complete version."""

from fastapi import APIRouter

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    ArtifactNotFoundError,
    ArtifactTooLargeError,
    ChecksumMismatchError,
    DigestUnknownError,
    InvalidCursorError,
    ModelBeingDeletedError,
    ModelNotFoundError,
    NewerFormatError,
    NotMultipartError,
    ObjectPredatesUploadError,
    OutcomeUnknownError,
    ReusedObjectChangedError,
    SizeMismatchError,
    TooManyArtifactsError,
    UploadIncompleteError,
    UploadNotFoundError,
    VersionConflictError,
    VersionNotFoundError,
)
from modelkeep.http.dependencies import Caller, Cursor, Limit, Model, Number, ReadCaller, Uploads
from modelkeep.http.openapi import links, requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.uploads import (
    CreateUpload,
    PartsResponse,
    SignParts,
    UploadPage,
    UploadProgressResponse,
    UploadResponse,
)
from modelkeep.schemas.versions import VersionResponse

router = APIRouter(prefix="/v1/models", tags=["uploads"])


@router.post(
    "/{model}/versions",
    status_code=201,
    response_description="The upload, with a presigned URL or a plan of parts for each artifact.",
    responses={
        **error_responses(
            UploadNotFoundError,
            ModelNotFoundError,
            VersionNotFoundError,
            ModelBeingDeletedError,
            DigestUnknownError,
            ReusedObjectChangedError,
            ArtifactTooLargeError,
            TooManyArtifactsError,
            *BODY_ERRORS,
            *WRITE_ERRORS,
        ),
        201: links("get_upload", "complete_upload", "abandon_upload", model="model", version="version"),
    },
    openapi_extra=requires(Action.VERSION_UPLOAD, Action.MODEL_READ),
)
async def begin_upload(model: Model, body: CreateUpload, caller: Caller, uploads: Uploads) -> UploadResponse:
    """Reserve the next version number and get URLs to upload to. The first version of a model creates it.

    With `from`, the version is made of another one's objects and is complete; `model.read` is needed on that model.
    """
    return UploadResponse.of(await uploads.register(model, body.to_request(), caller))


@router.get(
    "/{model}/uploads",
    response_description="A page of uploads, newest first.",
    responses=error_responses(InvalidCursorError, ModelNotFoundError),
    openapi_extra=requires(Action.MODEL_READ),
)
async def list_uploads(
    model: Model, caller: ReadCaller, uploads: Uploads, cursor: Cursor = None, limit: Limit = 50
) -> UploadPage:
    """List the uploads under way, and how much of each has arrived. A page may be short although more follow."""
    page = await uploads.list(model, caller, cursor=cursor, limit=limit)
    return UploadPage(items=[UploadProgressResponse.of(each) for each in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{model}/versions/{version}/upload",
    response_description="The upload.",
    responses=error_responses(UploadNotFoundError, NewerFormatError, OutcomeUnknownError),
    openapi_extra=requires(Action.VERSION_UPLOAD),
)
async def get_upload(model: Model, version: Number, caller: ReadCaller, uploads: Uploads) -> UploadResponse:
    """Read what has arrived and what is missing, with fresh URLs for what is missing."""
    return UploadResponse.of(await uploads.status(model, version, caller))


@router.post(
    "/{model}/versions/{version}/upload/parts",
    response_description="A presigned URL for each part.",
    responses=error_responses(UploadNotFoundError, ArtifactNotFoundError, NotMultipartError, *BODY_ERRORS),
    openapi_extra=requires(Action.VERSION_UPLOAD),
)
async def sign_parts(
    model: Model, version: Number, body: SignParts, caller: ReadCaller, uploads: Uploads
) -> PartsResponse:
    """Get presigned URLs for parts of one multipart artifact."""
    signed = await uploads.presign_parts(model, version, body.path, body.to_digests(), caller)
    return PartsResponse.of(body.path, signed)


@router.post(
    "/{model}/versions/{version}/complete",
    response_description="The version.",
    responses=error_responses(
        ModelNotFoundError,
        UploadNotFoundError,
        UploadIncompleteError,
        VersionConflictError,
        SizeMismatchError,
        ChecksumMismatchError,
        ObjectPredatesUploadError,
        ReusedObjectChangedError,
        *BODY_ERRORS,
        *WRITE_ERRORS,
    ),
    openapi_extra=requires(Action.VERSION_UPLOAD),
)
async def complete_upload(model: Model, version: Number, caller: Caller, uploads: Uploads) -> VersionResponse:
    """Verify every artifact in storage and create the version. A repeat returns the same version."""
    return VersionResponse.of(await uploads.complete(model, version, caller))


@router.delete(
    "/{model}/versions/{version}/upload",
    status_code=204,
    response_description="The upload is abandoned.",
    responses=error_responses(ModelNotFoundError, UploadNotFoundError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.VERSION_UPLOAD),
)
async def abandon_upload(model: Model, version: Number, caller: Caller, uploads: Uploads) -> None:
    """Abandon an upload. Its version number is not used again."""
    await uploads.abandon(model, version, caller)
