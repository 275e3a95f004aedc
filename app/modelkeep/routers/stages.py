"""Stages and rollback."""

from fastapi import APIRouter

from modelkeep.domain.access.actions import STAGE_SETS, Action
from modelkeep.domain.errors import (
    ModelNotFoundError,
    NoEarlierProductionError,
    NotNewerError,
    PreconditionRequiredError,
    ProductionChangedError,
    VersionNotFoundError,
)
from modelkeep.http.dependencies import Caller, Model, Number, Stages
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, WRITE_ERRORS, error_responses
from modelkeep.schemas.stages import RollBack, SetStage
from modelkeep.schemas.versions import VersionResponse

router = APIRouter(prefix="/v1/models", tags=["stages"])

NO_BODY = RollBack()


@router.put(
    "/{model}/versions/{version}/stage",
    response_description="The version, in its new stage.",
    responses=error_responses(
        ModelNotFoundError,
        VersionNotFoundError,
        NotNewerError,
        ProductionChangedError,
        *BODY_ERRORS,
        *WRITE_ERRORS,
    ),
    openapi_extra=requires(*STAGE_SETS),
)
async def set_stage(model: Model, version: Number, body: SetStage, caller: Caller, stages: Stages) -> VersionResponse:
    """Move a version to a stage. Promoting it to production archives the previous production version atomically."""
    return VersionResponse.of(await stages.move(model, version, body.to_request(), caller))


@router.post(
    "/{model}/rollback",
    response_description="The version that is production now.",
    responses=error_responses(
        ModelNotFoundError,
        VersionNotFoundError,
        NoEarlierProductionError,
        ProductionChangedError,
        PreconditionRequiredError,
        *BODY_ERRORS,
        *WRITE_ERRORS,
    ),
    openapi_extra=requires(Action.STAGE_SET_PRODUCTION),
)
async def roll_back(model: Model, caller: Caller, stages: Stages, body: RollBack = NO_BODY) -> VersionResponse:
    """Make the previous production version production again. Needs an Idempotency-Key or `expected_production`."""
    back = await stages.roll_back(model, caller, expected_production=body.precondition(), comment=body.comment)
    return VersionResponse.of(back)
