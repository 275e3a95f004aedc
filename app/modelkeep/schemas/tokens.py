"""Registry tokens on the wire."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.tokens import ApiTokenSecret, Token
from modelkeep.schemas.access import Grants
from modelkeep.schemas.base import Answer, Name, PageResponse


class CreateToken(Grants):
    """A token to make: the principal that it acts as, its grants, and when it expires."""

    principal: Annotated[
        Name,
        Field(
            description="The principal that the token acts as. Tokens that replace each other share it.",
            json_schema_extra={"pattern": r"^[^:\u0000-\u001f\u007f]*$"},
        ),
    ]
    expires_at: Annotated[AwareDatetime, Field(strict=False, description="At most a year from now.")]


class GrantResponse(Answer):
    """Roles and actions that are allowed or denied on the models whose names match a pattern."""

    allow: list[str]
    deny: list[str]
    models: list[str]

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """Shape the domain's grant."""
        words = list(grant.entries)
        return cls(allow=[] if grant.denies else words, deny=words if grant.denies else [], models=list(grant.models))


class TokenResponse(Answer):
    """A token, without its secret."""

    id: str
    principal: str
    grants: list[GrantResponse]
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To within an hour.")]

    @classmethod
    def of(cls, token: Token) -> Self:
        """Shape the domain's token."""
        return cls(
            id=token.id,
            principal=token.principal,
            grants=[GrantResponse.of(grant) for grant in token.grants],
            created_at=token.created_at,
            created_by=token.created_by,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            last_used_at=token.last_used_at,
        )


class NewTokenResponse(TokenResponse):
    """A new token and its secret: `token` is never shown again."""

    token: str

    @classmethod
    def made(cls, token: Token, credential: ApiTokenSecret) -> Self:
        """Shape a token with its secret."""
        return cls(**TokenResponse.of(token).model_dump(), token=credential.text)


class ExchangedTokenResponse(Answer):
    """A registry token for an issuer's token. The names are those of OAuth 2.0 (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 -- a scheme
    expires_in: Annotated[int, Field(description="Seconds until it expires.")]
    principal: str

    @classmethod
    def of(cls, token: Token, credential: ApiTokenSecret) -> Self:
        """Shape a token with its secret."""
        life = token.expires_at - token.created_at
        return cls(access_token=credential.text, expires_in=int(life.total_seconds()), principal=token.principal)


class TokenPage(PageResponse[TokenResponse]):
    """One page of tokens, by id; `next_cursor` continues the list and is null at its end."""
