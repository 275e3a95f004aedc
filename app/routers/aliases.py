"""Aliases."""

from fastapi import APIRouter

from app.dependencies import Alias, Aliases, Caller, Model
from app.schemas.aliases import AliasResponse, SetAlias

router = APIRouter(tags=["aliases"])


@router.put("/{model}/aliases/{alias}")
async def set_alias(model: Model, alias: Alias, body: SetAlias, caller: Caller, aliases: Aliases) -> AliasResponse:
    """Point an alias at a version."""
    version = await aliases.point(model, alias, body.version, caller, comment=body.comment)
    return AliasResponse.of(alias, version)


@router.delete("/{model}/aliases/{alias}", status_code=204)
async def remove_alias(model: Model, alias: Alias, caller: Caller, aliases: Aliases) -> None:
    """Remove an alias."""
    await aliases.remove(model, alias, caller)
