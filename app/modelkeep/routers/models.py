"""Models."""

from typing import Annotated

from fastapi import APIRouter, Query

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import InvalidCursorError, ModelNotEmptyError, ModelNotFoundError
from modelkeep.http.dependencies import Caller, Cursor, Limit, Model, Models, ReadCaller
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.models import EditModel, ModelPage, ModelResponse

router = APIRouter(prefix="/v1/models", tags=["models"])

Prefix = Annotated[str, Query(max_length=96, pattern=r"^[A-Za-z0-9._-]*$", description="What the names start with.")]


@router.get(
    "",
    response_description="A page of models, by name.",
    responses=error_responses(InvalidCursorError),
    openapi_extra=requires(Action.MODEL_READ),
)
async def list_models(
    caller: ReadCaller, models: Models, prefix: Prefix = "", cursor: Cursor = None, limit: Limit = 50
) -> ModelPage:
    """List the models that you may read, by name. A model that was created a moment ago may be missing."""
    page = await models.list(caller, prefix=prefix, cursor=cursor, limit=limit)
    return ModelPage(items=[ModelResponse.of(head) for head in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{model}",
    response_description="The model.",
    responses=error_responses(ModelNotFoundError),
    openapi_extra=requires(Action.MODEL_READ),
)
async def get_model(model: Model, caller: ReadCaller, models: Models) -> ModelResponse:
    """Read one model."""
    return ModelResponse.of(await models.get(model, caller))


@router.patch(
    "/{model}",
    response_description="The model, changed.",
    responses=error_responses(ModelNotFoundError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.MODEL_WRITE),
)
async def edit_model(model: Model, body: EditModel, caller: Caller, models: Models) -> ModelResponse:
    """Change a model's description and tags."""
    return ModelResponse.of(await models.edit(model, body.to_edit(), caller))


@router.delete(
    "/{model}",
    status_code=204,
    response_description="The model is deleted.",
    responses=error_responses(ModelNotFoundError, ModelNotEmptyError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.MODEL_WRITE, Action.VERSION_DELETE),
)
async def delete_model(model: Model, caller: Caller, models: Models) -> None:
    """Delete a model that has no production version and no alias; its versions go to the trash."""
    await models.delete(model, caller)
