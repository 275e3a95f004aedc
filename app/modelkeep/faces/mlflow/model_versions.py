"""Versions, as MLflow's clients ask for them."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response

from modelkeep.domain.changes import Copy, Edit, StageRequest
from modelkeep.domain.errors import ModelNotFoundError
from modelkeep.domain.models import Version
from modelkeep.domain.values import UNSET, Ref, RefKind, Stage
from modelkeep.faces.mlflow.errors import InvalidParameterError
from modelkeep.faces.mlflow.filters import Keys, parse_filter, sort
from modelkeep.faces.mlflow.pages import page_of
from modelkeep.faces.mlflow.registered_models import all_heads
from modelkeep.faces.mlflow.requests import MlflowRequest, answer
from modelkeep.faces.mlflow.schemas import (
    STAGES,
    CreateVersion,
    DescribeVersion,
    KeyOfVersion,
    ModelVersion,
    MoveVersion,
    OfVersion,
    Parameters,
    TagOfVersion,
    stage_of,
    tags_given,
)

ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SOURCE: Final = re.compile(
    r"(?:models:|(?P<address>https?://.+)" + ARTIFACTS + r")/(?P<model>[^/]+)/(?P<number>\d{1,10})/?"
)

MAX_LOOKED_AT: Final = 20_000
"""How many versions one search looks at."""


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


_KEYS: Final[Keys[Version]] = {
    "name": lambda version: version.model,
    "version_number": lambda version: version.number,
    "creation_timestamp": lambda version: _milliseconds(version.created_at),
    "last_updated_timestamp": lambda version: _milliseconds(version.stage_changed_at),
}
_COMPARED: Final[Keys[Version]] = {
    "name": _KEYS["name"],
    "run_id": lambda version: version.run_id or "",
    "source_path": lambda version: ModelVersion.of(version).source,
    "version_number": _KEYS["version_number"],
}


class SearchVersions(Parameters):
    """A search of versions."""

    filter: str = ""
    max_results: Annotated[int, Field(ge=1, le=200_000)] = 10_000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


async def create(request: MlflowRequest) -> Response:
    """Make a version of the objects of another one of this registry; no byte moves.

    Raises `InvalidParameterError` for another source.
    """
    wanted = await request.read(CreateVersion)
    await request.services.models.get(wanted.name, request.caller())
    model, number = _source_of(wanted.source, request.address)
    copied = Copy(
        model=model,
        number=number,
        description=UNSET if wanted.description is None else wanted.description,
        tags=tags_given(wanted.tags),
        run_id=wanted.run_id or None,
        source=wanted.source,
    )
    made = await request.services.uploads.register(wanted.name, copied, request.caller())
    return await _described(request, wanted.name, made.number)


async def get(request: MlflowRequest) -> Response:
    """Describe a version."""
    wanted = await request.read(OfVersion)
    return await _described(request, wanted.name, wanted.version)


async def update(request: MlflowRequest) -> Response:
    """Change the description of a version."""
    wanted = await request.read(DescribeVersion)
    edit = Edit(description=wanted.description)
    edited = await request.services.versions.edit(wanted.name, wanted.version, edit, request.caller())
    return answer(model_version=ModelVersion.of(edited))


async def delete(request: MlflowRequest) -> Response:
    """Move a version to the trash; one that is production or has an alias is refused."""
    wanted = await request.read(OfVersion)
    await request.services.versions.delete(wanted.name, wanted.version, request.caller())
    return answer()


async def set_tag(request: MlflowRequest) -> Response:
    """Set a tag of a version."""
    wanted = await request.read(TagOfVersion)
    edit = Edit(tags={wanted.key: wanted.value})
    await request.services.versions.edit(wanted.name, wanted.version, edit, request.caller())
    return answer()


async def delete_tag(request: MlflowRequest) -> Response:
    """Remove a tag of a version, if it has it."""
    wanted = await request.read(KeyOfVersion)
    edit = Edit(tags={wanted.key: None})
    await request.services.versions.edit(wanted.name, wanted.version, edit, request.caller())
    return answer()


async def move(request: MlflowRequest) -> Response:
    """Move a version to a stage. Production always archives the version before, in one transaction.

    Staging with `archive_existing_versions` archives the others that were moved there, one after the other.
    """
    wanted = await request.read(MoveVersion)
    stage = STAGES[wanted.stage.lower()]
    if wanted.archive_existing_versions and stage is not Stage.PRODUCTION and wanted.stage != "Staging":
        raise InvalidParameterError("Only a move to Staging or Production archives existing versions.")
    stages, caller = request.services.stages, request.caller()
    moved = await stages.move(wanted.name, wanted.version, StageRequest(stage=stage), caller)
    if wanted.archive_existing_versions and stage is Stage.STAGING:
        for version in await request.services.versions.newest(wanted.name, caller):
            if version.number != wanted.version and stage_of(version) == "Staging":
                await stages.move(wanted.name, version.number, StageRequest(stage=Stage.ARCHIVED), caller)
    return answer(model_version=ModelVersion.of(moved))


async def locate(request: MlflowRequest) -> Response:
    """The address below which the files of a version are."""
    wanted = await request.read(OfVersion)
    version = await _version(request, wanted.name, wanted.version)
    return answer(artifact_uri=f"{request.address}{ARTIFACTS}/{version.model}/{version.number}")


async def search(request: MlflowRequest) -> Response:
    """Versions by a filter, the last that was moved first. Of each model the newest 1,000 are looked at.

    With `name = 'm'` one model is, else all that the caller may read. Raises `InvalidParameterError` if these have too
    many versions.
    """
    wanted = await request.read(SearchVersions)
    chosen = parse_filter(wanted.filter, _COMPARED, lambda version: version.tags)
    model = chosen.only("name")
    models = [head.model for head in await all_heads(request)] if model is None else [model]
    found: list[Version] = []
    looked_at = 0
    for each in models:
        newest = await _newest(request, each)
        looked_at += len(newest)
        if looked_at > MAX_LOOKED_AT:
            raise InvalidParameterError(f"More than {MAX_LOOKED_AT} versions would be searched. Add name = 'MODEL'.")
        found.extend(version for version in newest if chosen.accepts(version))
    sort(found, wanted.order_by or ["last_updated_timestamp DESC"], _KEYS, default=["name", "version_number DESC"])
    page, token = page_of(found, wanted.page_token, wanted.max_results)
    return answer(model_versions=[ModelVersion.of(version) for version in page], next_page_token=token)


async def _newest(request: MlflowRequest, model: str) -> Sequence[Version]:
    try:
        return await request.services.versions.newest(model, request.caller())
    except ModelNotFoundError:
        return []


async def _described(request: MlflowRequest, model: str, number: int) -> Response:
    return answer(model_version=ModelVersion.of(await _version(request, model, number)))


async def _version(request: MlflowRequest, model: str, number: int) -> Version:
    ref = Ref(RefKind.NUMBER, str(number), number)
    return await request.services.versions.get(model, ref, request.caller())


def _source_of(source: str, address: str) -> tuple[str, int]:
    found = _SOURCE.fullmatch(source)
    if found is None or found["address"] not in {None, address}:
        raise InvalidParameterError(
            f"This registry cannot read '{source}'. It makes versions of 'models:/NAME/VERSION' of its own; register"
            " files with `modelkeep register NAME FOLDER`."
        )
    return found["model"], int(found["number"])
