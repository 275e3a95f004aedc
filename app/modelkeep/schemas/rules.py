"""Trust rules of the table on the wire, and questions about them."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, field_serializer

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import ALL_MODELS, MODELS_PATTERN
from modelkeep.schemas.base import Answer, Request

MAX_TOKEN = 16 * 1024


class RulesResponse(Answer):
    """The issuers and rules in the table, as they were written."""

    document: Annotated[dict[str, Any], Field(description="`issuers` and `rules`; empty if none were ever set.")]
    changed_at: datetime | None
    warnings: Annotated[list[str], Field(description="What may be unintended in rules that were set just now.")]

    @classmethod
    def of(cls, text: str, changed_at: datetime | None, warnings: Sequence[str] = ()) -> Self:
        """Shape the text of a document."""
        return cls(document=json.loads(text), changed_at=changed_at, warnings=list(warnings))


class ExplainAccess(Request):
    """Whether the bearer of a token may do an action on a model."""

    token: Annotated[SecretStr, Field(min_length=1, max_length=MAX_TOKEN, description="Of this registry or an issuer.")]
    action: Annotated[Action, Field(strict=False)]

    @field_serializer("token", when_used="json")
    def _send(self, token: SecretStr) -> str:
        return token.get_secret_value()

    model: Annotated[str, Field(pattern=MODELS_PATTERN, description="A name; `*` is every model.")] = ALL_MODELS


class ExplanationResponse(Answer):
    """The verdict, and a sentence for each step to it."""

    allowed: bool
    sentences: list[str]
