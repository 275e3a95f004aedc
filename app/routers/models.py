"""Models as a whole."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.dependencies import Caller, Cursor, Limit, Model, Models
from app.schemas.base import PageResponse
from app.schemas.models import EditModel, ModelResponse

router = APIRouter(tags=["models"])

Prefix = Annotated[str, Query(max_length=96, pattern=r"^[A-Za-z0-9._-]*$", description="What names start with.")]


@router.get("")
async def list_models(
    models: Models, prefix: Prefix = "", cursor: Cursor = None, limit: Limit = 50
) -> PageResponse[ModelResponse]:
    """List models by name. One that was created a moment ago may be missing."""
    page = await models.list(prefix=prefix, cursor=cursor, limit=limit)
    return PageResponse(items=[ModelResponse.of(head) for head in page.items], next_cursor=page.next_cursor)


@router.get("/{model}")
async def get_model(model: Model, models: Models) -> ModelResponse:
    """Read one model as it is now."""
    return ModelResponse.of(await models.get(model))


@router.patch("/{model}")
async def edit_model(model: Model, body: EditModel, caller: Caller, models: Models) -> ModelResponse:
    """Change a model's description and tags."""
    return ModelResponse.of(await models.edit(model, body.to_edit(), caller))


@router.delete("/{model}", status_code=204)
async def delete_model(model: Model, caller: Caller, models: Models) -> None:
    """Delete a model that has no production version and no alias; its versions go to the trash."""
    await models.delete(model, caller)
