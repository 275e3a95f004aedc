"""The client's methods on registry tokens and trust rules, for a holder of `token.admin`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.requests import build_body, not_empty
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.schemas.access import AccessDocument
from modelkeep.schemas.rules import ExplainAccess, ExplanationResponse, RulesResponse
from modelkeep.schemas.tokens import CreateToken, NewTokenResponse, TokenPage, TokenResponse

_PAGE_SIZE = 100


class AccessMethods:
    """Tokens and trust rules of the registry that the transport reaches."""

    _transport: RegistryTransport

    async def create_token(
        self,
        principal: str,
        *,
        allow: Sequence[str],
        deny: Sequence[str] = (),
        models: Sequence[str] = (ALL_MODELS,),
        expires_at: datetime,
    ) -> NewTokenResponse:
        """Make a registry token with roles and actions on the models whose names match; its `token` is shown once.

        Repeated after a lost reply, it makes another one; the first stays in the list.
        """
        grants = {"allow": list(allow), "deny": list(deny), "models": list(models)}
        body = build_body(CreateToken, principal=principal, expires_at=expires_at, **grants)
        return await self._transport.change(NewTokenResponse, "POST", "tokens", body=body)

    async def list_tokens(self) -> list[TokenResponse]:
        """The registry tokens, by id, without their secrets; revoked ones, too."""
        tokens: list[TokenResponse] = []
        cursor = None
        while True:
            page = await self._transport.get(TokenPage, "tokens", limit=_PAGE_SIZE, cursor=cursor)
            tokens += page.items
            if (cursor := page.next_cursor) is None:
                return tokens

    async def revoke_token(self, token: str) -> None:
        """Revoke the token of this id; every process refuses it within 30 seconds. Raises `TokenNotFoundError`."""
        await self._transport.remove("tokens", not_empty("token", token) or "")

    async def get_rules(self) -> RulesResponse:
        """The issuers and trust rules in the registry's table."""
        return await self._transport.get(RulesResponse, "access")

    async def set_rules(self, document: Mapping[str, Any]) -> RulesResponse:
        """Replace the issuers and trust rules in the table by `issuers` and `rules` of a document.

        Whoever does must be allowed every action on every model. Services follow within 30 seconds.
        """
        return await self._transport.change(RulesResponse, "PUT", "access", body=build_body(AccessDocument, **document))

    async def explain_access(self, token: str, action: str, model: str = ALL_MODELS) -> ExplanationResponse:
        """Whether the bearer of a token may do an action on a model, and by which rule, or why not."""
        body = build_body(ExplainAccess, token=token, action=action, model=model)
        return await self._transport.change(ExplanationResponse, "POST", "access", "explain", body=body)
