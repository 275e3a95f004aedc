"""Trust rules of the table, and why they allow something."""

from fastapi import APIRouter, Request

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    AuthenticationDisabledError,
    ContentionError,
    OutcomeUnknownError,
)
from modelkeep.http.dependencies import ReadCaller, Rules
from modelkeep.http.openapi import requires
from modelkeep.http.problems import BODY_ERRORS, error_responses
from modelkeep.schemas.access import AccessDocument
from modelkeep.schemas.rules import ExplainAccess, ExplanationResponse, RulesResponse

router = APIRouter(prefix="/v1/access", tags=["access"])


@router.get(
    "",
    response_description="The issuers and rules in the table.",
    responses=error_responses(),
    openapi_extra=requires(Action.TOKEN_ADMIN),
)
async def get_rules(caller: ReadCaller, rules: Rules) -> RulesResponse:
    """Read the issuers and trust rules in the table; those of the service's own file are not among them."""
    found = await rules.show(caller)
    return RulesResponse.of(found.text, found.changed_at) if found else RulesResponse.of("{}", None)


@router.put(
    "",
    response_description="The issuers and rules, as they are now; every process follows within 30 seconds.",
    responses=error_responses(AuthenticationDisabledError, ContentionError, OutcomeUnknownError, *BODY_ERRORS),
    openapi_extra=requires(*Action),
)
async def set_rules(
    body: AccessDocument,  # noqa: ARG001 -- documents the body, whose text is kept
    request: Request,
    caller: ReadCaller,
    rules: Rules,
) -> RulesResponse:
    """Replace the issuers and trust rules in the table. Needs every action on every model."""
    found, warnings = await rules.replace((await request.body()).decode(errors="replace"), caller)
    return RulesResponse.of(found.text, found.changed_at, warnings)


@router.post(
    "/explain",
    response_description="The verdict, and each step to it.",
    responses=error_responses(*BODY_ERRORS),
    openapi_extra=requires(Action.TOKEN_ADMIN),
)
async def explain_access(body: ExplainAccess, caller: ReadCaller, rules: Rules) -> ExplanationResponse:
    """Explain which rule allows an action to the bearer of a token, or why none does."""
    found = await rules.explain(body.token.get_secret_value(), body.action, body.model, caller)
    return ExplanationResponse(allowed=found.allowed, sentences=list(found.sentences))
