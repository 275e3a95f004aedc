"""Stages and rollback."""

from fastapi import APIRouter

from app.dependencies import Caller, Model, Number, Stages
from app.schemas.stages import RollBack, SetStage
from app.schemas.versions import VersionResponse

router = APIRouter(tags=["stages"])


@router.put("/{model}/versions/{version}/stage")
async def set_stage(model: Model, number: Number, body: SetStage, caller: Caller, stages: Stages) -> VersionResponse:
    """Move a version to a stage. Promoting to production archives the version that held it, in the same step."""
    return VersionResponse.of(await stages.move(model, number, body.to_request(), caller))


@router.post("/{model}/rollback")
async def roll_back(
    model: Model, caller: Caller, stages: Stages, body: RollBack = RollBack()
) -> VersionResponse:
    """Give production back to the version that held it before. Needs an Idempotency-Key or `expected_production`."""
    back = await stages.roll_back(model, caller, expected_production=body.fence(), comment=body.comment)
    return VersionResponse.of(back)
