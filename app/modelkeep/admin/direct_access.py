"""Tokens and trust rules on the storage that the environment names, by the methods of the client."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from modelkeep.admin import access
from modelkeep.admin.settings import read_settings
from modelkeep.client.requests import build_body
from modelkeep.domain.access.actions import Action
from modelkeep.schemas.access import AccessDocument
from modelkeep.schemas.rules import ExplanationResponse, RulesResponse
from modelkeep.schemas.tokens import CreateToken, NewTokenResponse, TokenResponse


class DirectAccess:
    """As `RegistryClient`, without a service: access to the table is what restricts its caller.

    Its methods raise what those of the client raise, and `ValueError` for settings that cannot be used.
    """

    def create_token(
        self, principal: str, *, allow: Sequence[str], deny: Sequence[str], models: Sequence[str], expires_at: datetime
    ) -> NewTokenResponse:
        """Make a token; it is shown once."""
        grants = {"allow": list(allow), "deny": list(deny), "models": list(models)}
        body = build_body(CreateToken, principal=principal, expires_at=expires_at, **grants)
        life = body.expires_at - datetime.now(UTC)
        made = access.create_token(read_settings(), body.principal, body.to_grants(""), life)
        return NewTokenResponse.made(*asyncio.run(made))

    def list_tokens(self) -> list[TokenResponse]:
        """All tokens, by id."""
        return [TokenResponse.of(token) for token in asyncio.run(access.list_tokens(read_settings()))]

    def revoke_token(self, token: str) -> None:
        """Revoke a token."""
        asyncio.run(access.revoke_token(read_settings(), token))

    def get_rules(self) -> RulesResponse:
        """The issuers and rules in the table."""
        found = asyncio.run(access.show_rules(read_settings()))
        return RulesResponse.of(found.text, found.changed_at) if found else RulesResponse.of("{}", None)

    def set_rules(self, document: Mapping[str, Any]) -> RulesResponse:
        """Replace the issuers and rules in the table."""
        found, warnings = asyncio.run(access.set_rules(read_settings(), build_body(AccessDocument, **document)))
        return RulesResponse.of(found.text, found.changed_at, warnings)

    def explain_access(self, token: str, action: str, model: str) -> ExplanationResponse:
        """Whether the bearer of a token may do an action, and why."""
        found = asyncio.run(access.explain(read_settings(), token, Action(action), model))
        return ExplanationResponse(allowed=found.allowed, sentences=list(found.sentences))
