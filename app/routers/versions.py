"""Complete versions."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.dependencies import AnyRef, Caller, Cursor, Limit, Model, Number, Versions
from app.domain.values import Stage
from app.schemas.base import PageResponse
from app.schemas.versions import EditVersion, VersionResponse

router = APIRouter(tags=["versions"])

OfStage = Annotated[Stage | None, Query(description="Only versions of this stage.")]


@router.get("/{model}/versions")
async def list_versions(
    model: Model, versions: Versions, stage: OfStage = None, cursor: Cursor = None, limit: Limit = 50
) -> PageResponse[VersionResponse]:
    """List versions, newest first. With `stage`, a page may be short although the list goes on."""
    page = await versions.list(model, stage=stage, cursor=cursor, limit=limit)
    return PageResponse(items=[VersionResponse.of(version) for version in page.items], next_cursor=page.next_cursor)


@router.get("/{model}/versions/{ref}")
async def get_version(model: Model, ref: AnyRef, versions: Versions) -> VersionResponse:
    """Read the version that answers to a ref."""
    return VersionResponse.of(await versions.get(model, ref))


@router.patch("/{model}/versions/{version}")
async def edit_version(
    model: Model, number: Number, body: EditVersion, caller: Caller, versions: Versions
) -> VersionResponse:
    """Change a version's description, metrics and tags."""
    return VersionResponse.of(await versions.edit(model, number, body.to_edit(), caller))


@router.delete("/{model}/versions/{version}", status_code=204)
async def delete_version(model: Model, number: Number, caller: Caller, versions: Versions) -> None:
    """Move a version to the trash, unless it is production or has aliases."""
    await versions.delete(model, number, caller)


@router.post("/{model}/versions/{version}/restore")
async def restore_version(model: Model, number: Number, caller: Caller, versions: Versions) -> VersionResponse:
    """Take a version out of the trash, in the stage that it had."""
    return VersionResponse.of(await versions.restore(model, number, caller))
