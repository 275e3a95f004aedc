"""The caller itself."""

from fastapi import APIRouter

from modelkeep.http.dependencies import ReadCaller
from modelkeep.http.openapi import requires
from modelkeep.http.problems import error_responses
from modelkeep.schemas.whoami import WhoAmIResponse

router = APIRouter(prefix="/v1", tags=["tokens"])


@router.get(
    "/whoami",
    response_description="Your principal and its grants.",
    responses=error_responses(),
    openapi_extra=requires(),
)
async def get_caller(caller: ReadCaller) -> WhoAmIResponse:
    """Say who you are to the registry, and what you may do."""
    return WhoAmIResponse.of(caller.identify())
