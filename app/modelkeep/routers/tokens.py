"""Registry tokens."""

from typing import Annotated

from fastapi import APIRouter, Path

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import (
    AuthenticationDisabledError,
    ContentionError,
    InvalidCursorError,
    OutcomeUnknownError,
    TokenNotFoundError,
)
from modelkeep.http.dependencies import Cursor, Limit, ReadCaller, Tokens
from modelkeep.http.openapi import links, requires
from modelkeep.http.problems import BODY_ERRORS, error_responses
from modelkeep.schemas.tokens import CreateToken, ExchangedTokenResponse, NewTokenResponse, TokenPage, TokenResponse

router = APIRouter(prefix="/v1", tags=["tokens"])

TokenId = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,32}$", description="The token's id.")]


@router.post(
    "/tokens",
    status_code=201,
    response_description="The token with its secret, which is never shown again.",
    responses={
        **error_responses(AuthenticationDisabledError, OutcomeUnknownError, *BODY_ERRORS),
        201: links("revoke_token", token="id"),  # noqa: S106 -- a field
    },
    openapi_extra=requires(Action.TOKEN_ADMIN),
)
async def create_token(body: CreateToken, caller: ReadCaller, tokens: Tokens) -> NewTokenResponse:
    """Make a registry token. It cannot have grants that you do not have."""
    made = await tokens.create(body.principal, body.to_grants(""), body.expires_at, caller)
    return NewTokenResponse.made(*made)


@router.get(
    "/tokens",
    response_description="A page of tokens, by id.",
    responses=error_responses(InvalidCursorError),
    openapi_extra=requires(Action.TOKEN_ADMIN),
)
async def list_tokens(caller: ReadCaller, tokens: Tokens, cursor: Cursor = None, limit: Limit = 50) -> TokenPage:
    """List tokens, including revoked ones, until 30 days after they expire."""
    page = await tokens.list(caller, cursor=cursor, limit=limit)
    return TokenPage(items=[TokenResponse.of(token) for token in page.items], next_cursor=page.next_cursor)


@router.delete(
    "/tokens/{token}",
    status_code=204,
    response_description="The token is revoked; every process refuses it within 30 seconds.",
    responses=error_responses(TokenNotFoundError, ContentionError, OutcomeUnknownError),
    openapi_extra=requires(Action.TOKEN_ADMIN),
)
async def revoke_token(token: TokenId, caller: ReadCaller, tokens: Tokens) -> None:
    """Revoke a token. A repeat changes nothing."""
    await tokens.revoke(token, caller)


@router.post(
    "/auth/token",
    response_description="A registry token for 15 minutes.",
    responses=error_responses(AuthenticationDisabledError, OutcomeUnknownError),
    openapi_extra=requires(),
)
async def exchange_token(caller: ReadCaller, tokens: Tokens) -> ExchangedTokenResponse:
    """Exchange the token of a trusted issuer, sent as bearer, for a registry token with the same rights."""
    return ExchangedTokenResponse.of(*await tokens.exchange(caller))
