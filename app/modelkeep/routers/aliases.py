"""Aliases."""

from fastapi import APIRouter

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    AliasNotFoundError,
    AliasReservedError,
    ModelNotFoundError,
    VersionNotFoundError,
)
from modelkeep.http.dependencies import Alias, Aliases, Caller, Model
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.aliases import AliasResponse, SetAlias

router = APIRouter(prefix="/v1/models", tags=["aliases"])


@router.put(
    "/{model}/aliases/{alias}",
    response_description="The alias.",
    responses=error_responses(
        ModelNotFoundError,
        VersionNotFoundError,
        AliasReservedError,
        *BODY_ERRORS,
        *WRITE_ERRORS,
    ),
    openapi_extra=requires(Action.ALIAS_SET),
)
async def set_alias(model: Model, alias: Alias, body: SetAlias, caller: Caller, aliases: Aliases) -> AliasResponse:
    """Point an alias at a version; an alias that exists is moved."""
    version = await aliases.point(model, alias, body.version, caller, comment=body.comment)
    return AliasResponse.of(alias, version)


@router.delete(
    "/{model}/aliases/{alias}",
    status_code=204,
    response_description="The alias is removed.",
    responses=error_responses(ModelNotFoundError, AliasNotFoundError, *BODY_ERRORS, *WRITE_ERRORS),
    openapi_extra=requires(Action.ALIAS_SET),
)
async def remove_alias(model: Model, alias: Alias, caller: Caller, aliases: Aliases) -> None:
    """Remove an alias."""
    await aliases.remove(model, alias, caller)
