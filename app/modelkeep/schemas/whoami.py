"""A caller on the wire."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from modelkeep.domain.access.principals import Principal
from modelkeep.schemas.base import Answer
from modelkeep.schemas.tokens import GrantResponse


class WhoAmIResponse(Answer):
    """The principal that the registry takes the caller for, and what it may do."""

    principal: str
    grants: list[GrantResponse]
    expires_at: Annotated[datetime | None, Field(description="The end of its credential, if it has one.")]

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """Shape the domain's principal."""
        grants = [GrantResponse.of(grant) for grant in principal.grants]
        return cls(principal=principal.name, grants=grants, expires_at=principal.expires_at)
