"""Two versions side by side."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, WithJsonSchema

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import ContentionError, ModelNotFoundError, VersionNotFoundError
from modelkeep.domain.values import parse_ref
from modelkeep.http.dependencies import REF_PATTERN, Model, ReadCaller, Versions
from modelkeep.http.openapi import requires
from modelkeep.http.problems import error_responses
from modelkeep.schemas.comparisons import ComparisonResponse

router = APIRouter(prefix="/v1/models", tags=["versions"])


def _check_ref(text: str) -> str:
    parse_ref(text)
    return text


RefText = Annotated[
    str, AfterValidator(_check_ref), WithJsonSchema({"type": "string", "pattern": REF_PATTERN, "examples": ["6"]})
]
A = Annotated[RefText, Query(description="A ref: the version to compare with.")]
B = Annotated[RefText, Query(description="A ref: the version that is compared.")]


@router.get(
    "/{model}/compare",
    response_description="What both versions have, side by side.",
    responses=error_responses(ModelNotFoundError, VersionNotFoundError, ContentionError),
    openapi_extra=requires(Action.MODEL_READ),
)
async def compare_versions(model: Model, a: A, b: B, caller: ReadCaller, versions: Versions) -> ComparisonResponse:
    """Compare two versions: metrics with their differences, tags, and files by SHA-256."""
    return ComparisonResponse.of(await versions.compare(model, parse_ref(a), parse_ref(b), caller))
