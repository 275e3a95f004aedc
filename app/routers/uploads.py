"""From a registration to a complete version."""

from fastapi import APIRouter

from app.dependencies import Caller, Model, Number, Uploads
from app.schemas.uploads import CreateUpload, PartsResponse, SignParts, UploadResponse
from app.schemas.versions import VersionResponse

router = APIRouter(tags=["uploads"])


@router.post("/{model}/versions", status_code=201)
async def begin_upload(model: Model, body: CreateUpload, caller: Caller, uploads: Uploads) -> UploadResponse:
    """Reserve the next version number and get the URLs to upload to; the first version creates the model."""
    return UploadResponse.of(await uploads.begin(model, body.to_registration(), caller))


@router.get("/{model}/versions/{version}/upload")
async def get_upload(model: Model, number: Number, uploads: Uploads) -> UploadResponse:
    """See what has arrived and what is missing, with fresh URLs for that."""
    return UploadResponse.of(await uploads.status(model, number))


@router.post("/{model}/versions/{version}/upload/parts")
async def sign_parts(model: Model, number: Number, body: SignParts, uploads: Uploads) -> PartsResponse:
    """Get the URLs for parts of one multipart artifact."""
    return PartsResponse.of(body.path, await uploads.presign_parts(model, number, body.path, body.to_digests()))


@router.post("/{model}/versions/{version}/complete")
async def complete_upload(model: Model, number: Number, caller: Caller, uploads: Uploads) -> VersionResponse:
    """Have every artifact checked in storage, and make the version exist. A repeat answers the same."""
    return VersionResponse.of(await uploads.complete(model, number, caller))


@router.delete("/{model}/versions/{version}/upload", status_code=204)
async def abandon_upload(model: Model, number: Number, caller: Caller, uploads: Uploads) -> None:
    """Give an upload up; its number stays spent."""
    await uploads.abandon(model, number, caller)
