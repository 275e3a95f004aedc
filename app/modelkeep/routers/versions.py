"""Versions that are complete."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    ContentionError,
    InvalidCursorError,
    ModelBeingDeletedError,
    ModelNotFoundError,
    ProductionNotFoundError,
    VersionInUseError,
    VersionNotDeletedError,
    VersionNotFoundError,
)
from modelkeep.domain.values import ALIAS_PATTERN, MAX_VERSION, AliasName, Stage, parse_moment
from modelkeep.domain.version_selection import ORDER_PATTERN, TAG_PATTERN, Selection, parse_order, parse_tag
from modelkeep.http.dependencies import Caller, Cursor, Limit, Model, Number, ReadCaller, VersionRefParam, Versions
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.versions import EditVersion, SortedVersionPage, VersionPage, VersionResponse

router = APIRouter(prefix="/v1/models", tags=["versions"])


def _check_tag(text: str) -> str:
    parse_tag(text)
    return text


def _check_order(text: str) -> str:
    parse_order(text)
    return text


At = Annotated[
    datetime | None,
    Query(description="With the ref `production`: the version that was production at this time, by history."),
    BeforeValidator(parse_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
OfStage = Annotated[Stage | None, Query(description="Only versions of this stage.")]
WithTags = Annotated[
    list[Annotated[str, AfterValidator(_check_tag), WithJsonSchema({"type": "string", "pattern": TAG_PATTERN})]],
    Query(
        alias="tag",
        default_factory=list,
        max_length=64,
        description="Only versions with this tag, as `name=value`; repeat for more.",
    ),
]
WithAlias = Annotated[
    Literal["*"] | AliasName | None,
    Query(description="Only the version with this alias; `*`: those with any."),
    WithJsonSchema({"type": "string", "pattern": rf"^\*$|{ALIAS_PATTERN}", "examples": ["*", "champion"]}),
]
SameFilesAs = Annotated[
    int | None,
    Query(
        ge=1,
        le=MAX_VERSION,
        description="Only versions before this one that have its files: the same paths with the same SHA-256.",
    ),
]
SortBy = Annotated[
    str | None,
    AfterValidator(_check_order),
    Query(
        alias="sort",
        description="`created_at` or `metrics.<name>`, descending after a dash; of the newest 1,000 versions.",
    ),
    WithJsonSchema({"type": "string", "pattern": ORDER_PATTERN, "examples": ["-metrics.f1", "created_at"]}),
]


async def _read_selection(
    tags: WithTags,
    stage: OfStage = None,
    alias: WithAlias = None,
    same_files_as: SameFilesAs = None,
    sort: SortBy = None,
) -> Selection:
    order = None if sort is None else parse_order(sort)
    return Selection(
        stage=stage, tags=tuple(map(parse_tag, tags)), alias=alias, same_files_as=same_files_as, order=order
    )


Selected = Annotated[Selection, Depends(_read_selection)]


@router.get(
    "/{model}/versions",
    response_description="A page of versions, newest first unless `sort` says otherwise.",
    responses=error_responses(InvalidCursorError, ModelNotFoundError, VersionNotFoundError),
    openapi_extra=requires(Action.MODEL_READ),
)
async def list_versions(
    model: Model,
    caller: ReadCaller,
    versions: Versions,
    selection: Selected,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> VersionPage | SortedVersionPage:
    """List versions, newest first or sorted. With a filter, a page may be short although more follow."""
    page = await versions.list(model, caller, selection, cursor=cursor, limit=limit)
    return VersionPage.of(page.items, page.next_cursor, older_left_out=page.older_left_out)


@router.get(
    "/{model}/versions/{version}",
    response_description="The version.",
    responses=error_responses(ModelNotFoundError, VersionNotFoundError, ProductionNotFoundError, ContentionError),
    openapi_extra=requires(Action.MODEL_READ, Action.EVENT_READ),
)
async def get_version(
    model: Model, version: VersionRefParam, caller: ReadCaller, versions: Versions, at: At = None
) -> VersionResponse:
    """Read the version that a ref resolves to; with `at`, the one that was production then, as it is now."""
    return VersionResponse.of(await versions.get(model, version, caller, at=at))


@router.patch(
    "/{model}/versions/{version}",
    response_description="The version, changed.",
    responses=error_responses(ModelNotFoundError, VersionNotFoundError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.VERSION_EDIT),
)
async def edit_version(
    model: Model, version: Number, body: EditVersion, caller: Caller, versions: Versions
) -> VersionResponse:
    """Change a version's description, metrics and tags."""
    return VersionResponse.of(await versions.edit(model, version, body.to_edit(), caller))


@router.delete(
    "/{model}/versions/{version}",
    status_code=204,
    response_description="The version is in the trash.",
    responses=error_responses(ModelNotFoundError, VersionNotFoundError, VersionInUseError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.VERSION_DELETE),
)
async def delete_version(model: Model, version: Number, caller: Caller, versions: Versions) -> None:
    """Move a version to the trash; refused while it is production or has an alias."""
    await versions.delete(model, version, caller)


@router.post(
    "/{model}/versions/{version}/restore",
    response_description="The version, restored.",
    responses=error_responses(
        ModelNotFoundError,
        VersionNotFoundError,
        VersionNotDeletedError,
        ModelBeingDeletedError,
        *BODY_ERRORS,
        *WRITE_ERRORS,
    ),
    openapi_extra=requires(Action.VERSION_DELETE),
)
async def restore_version(model: Model, version: Number, caller: Caller, versions: Versions) -> VersionResponse:
    """Take a version out of the trash, to the stage that it had."""
    return VersionResponse.of(await versions.restore(model, version, caller))
