"""Creates, lists and revokes registry tokens, and exchanges an issuer's token for one."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import Grant, delegate
from modelkeep.domain.access.principals import ANONYMOUS
from modelkeep.domain.access.tokens import (
    ID_BYTES,
    MAX_EXCHANGED_LIFE,
    MAX_LIFE,
    SECRET_BYTES,
    ApiTokenSecret,
    Token,
    check_principal,
    new_secret,
)
from modelkeep.domain.errors import (
    AuthenticationDisabledError,
    ContentionError,
    InvalidRequestError,
    TokenNotFoundError,
)
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.pages import Page
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access.caller import Caller

_ATTEMPTS: Final = 5
_BACKOFF_BASE_SECONDS: Final = 0.02
_BACKOFF_CAP_SECONDS: Final = 1.0


class TokenService:
    """Registry tokens. The secret of a token is returned once, when it is created, and stored nowhere."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def create(
        self, principal: str, grants: Sequence[Grant], expires_at: datetime, caller: Caller
    ) -> tuple[Token, ApiTokenSecret]:
        """Create a token that acts as `principal`, with no more grants than the caller has.

        Raises `ActionForbiddenError`; `AuthenticationDisabledError` if the caller is anonymous; `InvalidRequestError`
        if it ends in the past or in more than a year, if the name is in the form of an issuer's identity, or if the
        caller lacks one of the grants.
        """
        caller.require(Action.TOKEN_ADMIN)
        _refuse_anonymous(caller)
        secret, now = _new_secret(), datetime.now(UTC)
        if not now < expires_at <= now + MAX_LIFE:
            raise _invalid("body.expires_at", f"a token ends in the future, at most {MAX_LIFE.days} days from now")
        with _value_errors_at("body.principal"):
            check_principal(principal)
        with _value_errors_at("body.allow"):
            delegated = delegate(caller.principal.grants, [replace(g, rule=f"token:{secret.id}") for g in grants])
        token = Token(
            id=secret.id,
            digest=secret.digest,
            principal=principal,
            grants=delegated,
            created_at=now,
            created_by=caller.principal.name,
            expires_at=expires_at,
        )
        await self._tokens.add(token)
        return token, secret

    async def list(self, caller: Caller, *, cursor: str | None, limit: int) -> Page[Token]:
        """Tokens that `create` made, by id; those that ended a short time ago are listed, too.

        Raises `ActionForbiddenError`, `InvalidCursorError`.
        """
        caller.require(Action.TOKEN_ADMIN)
        return await self._tokens.list(cursor=cursor, limit=limit)

    async def revoke(self, token_id: str, caller: Caller) -> None:
        """Revoke a token; within 30 seconds it is refused everywhere. Idempotent.

        Raises `ActionForbiddenError`, `TokenNotFoundError`, `ContentionError`.
        """
        caller.require(Action.TOKEN_ADMIN)
        for attempt in range(_ATTEMPTS):
            token = await self._tokens.find(token_id)
            if token is None:
                raise TokenNotFoundError(token_id)
            if token.revoked_at or await self._tokens.replace(replace(token, revoked_at=datetime.now(UTC))):
                return
            await asyncio.sleep(full_jitter(attempt, base=_BACKOFF_BASE_SECONDS, cap=_BACKOFF_CAP_SECONDS))
        raise ContentionError(token_id)

    async def exchange(self, caller: Caller) -> tuple[Token, ApiTokenSecret]:
        """Exchange an issuer's token for a registry token of 15 minutes, with the grants of the same trust rules.

        Raises `AuthenticationDisabledError` if the caller is anonymous; `InvalidRequestError` if it did not present a
        token of a trusted issuer.
        """
        rules = caller.trust_rules()
        _refuse_anonymous(caller)
        if not rules:
            raise _invalid("header.Authorization", "only a token of a trusted issuer can be exchanged")
        secret, now = _new_secret(), datetime.now(UTC)
        token = Token(
            id=secret.id,
            digest=secret.digest,
            principal=caller.principal.name,
            grants=(),
            rules=tuple(rules),
            created_at=now,
            created_by=caller.principal.name,
            expires_at=now + MAX_EXCHANGED_LIFE,
        )
        await self._tokens.add(token)
        return token, secret


def _refuse_anonymous(caller: Caller) -> None:
    """Raise `AuthenticationDisabledError`: a token would outlast a setting that was meant for a while."""
    if caller.principal is ANONYMOUS:
        raise AuthenticationDisabledError


def _new_secret() -> ApiTokenSecret:
    return new_secret(secrets.token_bytes(ID_BYTES + SECRET_BYTES))


@contextmanager
def _value_errors_at(location: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _invalid(location, str(error)) from None


def _invalid(location: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([{"location": location, "message": message}])
