"""Models and their aliases, as MLflow's clients ask for them."""

from functools import partial
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response

from modelkeep.domain.changes import Edit, StageRequest
from modelkeep.domain.errors import VersionNotFoundError
from modelkeep.domain.models import Head, Version
from modelkeep.domain.values import RefKind, Stage, parse_ref
from modelkeep.faces.mlflow.errors import InvalidParameterError, ResourceAlreadyExistsError
from modelkeep.faces.mlflow.filters import Keys, parse_filter, sort
from modelkeep.faces.mlflow.pages import page_of
from modelkeep.faces.mlflow.requests import MlflowRequest, answer
from modelkeep.faces.mlflow.schemas import (
    AliasOfModel,
    CreateModel,
    DescribeModel,
    KeyOfModel,
    LatestVersions,
    ModelVersion,
    OfModel,
    Parameters,
    RegisteredModel,
    SetAlias,
    TagOfModel,
    latest_of,
    tags_given,
)
from modelkeep.kit.concurrency import gather_limited

NEWEST_OF_A_MODEL: Final = 20
"""How many of its newest versions a model's own `latest_versions` are found among, beside those that have a name."""

_PAGE: Final = 200
_KEYS: Final[Keys[Head]] = {
    "name": lambda head: head.model,
    "creation_timestamp": lambda head: int(head.created_at.timestamp() * 1000),
    "last_updated_timestamp": lambda head: int(head.updated_at.timestamp() * 1000),
}


class SearchModels(Parameters):
    """A search of models."""

    filter: str = ""
    max_results: Annotated[int, Field(ge=1, le=1_000)] = 100
    order_by: tuple[str, ...] = ()
    page_token: str = ""


async def create(request: MlflowRequest) -> Response:
    """Make a model without versions."""
    wanted = await request.read(CreateModel)
    head, is_new = await request.services.models.create(
        wanted.name, request.caller(), description=wanted.description, tags=tags_given(wanted.tags)
    )
    if not is_new:
        raise ResourceAlreadyExistsError(wanted.name)
    return answer(registered_model=RegisteredModel.of(head, []))


async def get(request: MlflowRequest) -> Response:
    """Describe a model."""
    wanted = await request.read(OfModel)
    return await _described(request, await request.services.models.get(wanted.name, request.caller()))


async def update(request: MlflowRequest) -> Response:
    """Change the description of a model."""
    wanted = await request.read(DescribeModel)
    edit = Edit(description=wanted.description)
    return await _described(request, await request.services.models.edit(wanted.name, edit, request.caller()))


async def delete(request: MlflowRequest) -> Response:
    """Move a model to the trash; one that has a production version or an alias is refused."""
    wanted = await request.read(OfModel)
    await request.services.models.delete(wanted.name, request.caller())
    return answer()


async def refuse_rename(_: MlflowRequest) -> Response:
    """Names are for good."""
    raise InvalidParameterError(
        "A model keeps its name for good, because its versions are known by it. Create a model of the new name and copy"
        " the versions that are still needed."
    )


async def set_tag(request: MlflowRequest) -> Response:
    """Set a tag of a model."""
    wanted = await request.read(TagOfModel)
    await request.services.models.edit(wanted.name, Edit(tags={wanted.key: wanted.value}), request.caller())
    return answer()


async def delete_tag(request: MlflowRequest) -> Response:
    """Remove a tag of a model, if it has it."""
    wanted = await request.read(KeyOfModel)
    await request.services.models.edit(wanted.name, Edit(tags={wanted.key: None}), request.caller())
    return answer()


async def latest_versions(request: MlflowRequest) -> Response:
    """The newest version in each stage."""
    wanted = await request.read(LatestVersions)
    versions = await request.services.versions.named(wanted.name, request.caller())
    return answer(model_versions=latest_of(versions, wanted.stages))


async def search(request: MlflowRequest) -> Response:
    """Models by a filter; without an order by name. All that the caller may read are looked at."""
    wanted = await request.read(SearchModels)
    accepts = parse_filter(wanted.filter, {"name": _KEYS["name"]}, lambda head: head.tags).accepts
    found = [head for head in await all_heads(request) if accepts(head)]
    sort(found, wanted.order_by, _KEYS, default=["name"])
    page, token = page_of(found, wanted.page_token, wanted.max_results)
    models = await gather_limited(partial(_model, request), page)
    return answer(registered_models=models, next_page_token=token)


async def all_heads(request: MlflowRequest) -> list[Head]:
    """All models that the caller may read."""
    found: list[Head] = []
    cursor: str | None = None
    while True:
        page = await request.services.models.list(request.caller(), prefix="", cursor=cursor, limit=_PAGE)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


async def get_by_alias(request: MlflowRequest) -> Response:
    """The version that an alias names, or `production`, or `latest`."""
    wanted = await request.read(AliasOfModel)
    return answer(model_version=ModelVersion.of(await _named(request, wanted.name, wanted.alias)))


async def set_alias(request: MlflowRequest) -> Response:
    """Point an alias at a version; `production` promotes it."""
    wanted = await request.read(SetAlias)
    if wanted.alias.lower() == RefKind.PRODUCTION:
        move = StageRequest(stage=Stage.PRODUCTION)
        await request.services.stages.move(wanted.name, wanted.version, move, request.caller())
    else:
        await request.services.aliases.point(wanted.name, wanted.alias, wanted.version, request.caller(), comment=None)
    return answer()


async def delete_alias(request: MlflowRequest) -> Response:
    """Remove an alias; `production` is none that can be removed."""
    wanted = await request.read(AliasOfModel)
    await request.services.aliases.remove(wanted.name, wanted.alias, request.caller())
    return answer()


async def _named(request: MlflowRequest, model: str, alias: str) -> Version:
    """Raises `ModelNotFoundError`, `InvalidParameterError` for an alias that names no version."""
    try:
        ref = parse_ref(alias)
        return await request.services.versions.get(model, ref, request.caller())
    except ValueError:
        raise InvalidParameterError(f"'{alias}' is no alias.") from None
    except VersionNotFoundError:
        raise InvalidParameterError(f"Registered model alias {alias} not found.") from None


async def _described(request: MlflowRequest, head: Head) -> Response:
    return answer(registered_model=await _model(request, head))


async def _model(request: MlflowRequest, head: Head) -> RegisteredModel:
    """Clients ask for a model before nearly every change, so few of its versions are read."""
    return RegisteredModel.of(head, await request.services.versions.named_of(head, newest=NEWEST_OF_A_MODEL))
