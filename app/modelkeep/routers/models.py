"""Models."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    InvalidCursorError,
    ModelBeingDeletedError,
    ModelNotEmptyError,
    ModelNotFoundError,
)
from modelkeep.http.dependencies import Caller, Cursor, Limit, Model, Models, ReadCaller
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.models import CreateModel, EditModel, ModelPage, ModelResponse

router = APIRouter(prefix="/v1/models", tags=["models"])

NO_BODY: Final = CreateModel()

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


@router.put(
    "/{model}",
    status_code=201,
    response_description="The model, which is new.",
    responses={
        **error_responses(ModelNotFoundError, ModelBeingDeletedError, *BODY_ERRORS, *WRITE_ERRORS),
        200: {"description": "The model, which was there; nothing is changed.", "model": ModelResponse},
    },
    openapi_extra=requires(Action.MODEL_READ, Action.VERSION_UPLOAD),
)
async def create_model(
    model: Model, caller: Caller, models: Models, response: Response, body: CreateModel = NO_BODY
) -> ModelResponse:
    """Create a model that has no versions yet. If it is there, nothing is changed."""
    head, is_new = await models.create(model, caller, description=body.description, tags=body.tags)
    response.status_code = 201 if is_new else 200
    return ModelResponse.of(head)


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
