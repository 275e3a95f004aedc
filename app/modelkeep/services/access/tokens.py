"""What a caller can do with registry tokens: make, list, revoke, and get one in exchange for another identity."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import Grant, delegate
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
from modelkeep.domain.errors import ContentionError, InvalidRequestError, TokenNotFoundError
from modelkeep.kit.backoff import full_jitter
from modelkeep.repositories.pages import Page
from modelkeep.repositories.tokens import Tokens
from modelkeep.services.access.caller import Caller

_ATTEMPTS: Final = 5
_BACKOFF_BASE_SECONDS: Final = 0.02
_BACKOFF_CAP_SECONDS: Final = 1.0


class TokenService:
    """Registry tokens. The secret of a token is in the answer that makes it, and nowhere else."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def create(
        self, principal: str, grants: Sequence[Grant], expires_at: datetime, caller: Caller
    ) -> tuple[Token, ApiTokenSecret]:
        """Make a token that acts as `principal`. A caller gives what it has, and no more.

        Raises `ActionForbiddenError`; `InvalidRequestError` for an end that has passed or is more than a year away, for
        a name that looks like an issuer's, and for grants that the caller does not have.
        """
        caller.require(Action.TOKEN_ADMIN)
        credential, now = _fresh(), datetime.now(UTC)
        if not now < expires_at <= now + MAX_LIFE:
            raise _invalid("body.expires_at", f"a token ends in the future, at most {MAX_LIFE.days} days from now")
        with _faults_in("body.principal"):
            check_principal(principal)
        with _faults_in("body.allow"):
            given = delegate(caller.principal.grants, [replace(g, rule=f"token:{credential.id}") for g in grants])
        token = Token(
            id=credential.id,
            digest=credential.digest,
            principal=principal,
            grants=given,
            created_at=now,
            created_by=caller.principal.name,
            expires_at=expires_at,
        )
        await self._tokens.add(token)
        return token, credential

    async def list(self, caller: Caller, *, cursor: str | None, limit: int) -> Page[Token]:
        """Tokens that were made by hand, by id, also those that ended lately.

        Raises `ActionForbiddenError`, `InvalidCursorError`.
        """
        caller.require(Action.TOKEN_ADMIN)
        return await self._tokens.list(cursor=cursor, limit=limit)

    async def revoke(self, token_id: str, caller: Caller) -> None:
        """Let a token admit nobody any more, within 30 seconds everywhere; a repeat changes nothing.

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
        """Give the bearer of an issuer's token a registry token for 15 minutes, by the same trust rules.

        Raises `InvalidRequestError` for a caller that did not come by a trust rule.
        """
        rules = caller.trust_rules()
        if not rules:
            raise _invalid("header.Authorization", "only a token of a trusted issuer can be exchanged")
        credential, now = _fresh(), datetime.now(UTC)
        token = Token(
            id=credential.id,
            digest=credential.digest,
            principal=caller.principal.name,
            grants=(),
            rules=tuple(rules),
            created_at=now,
            created_by=caller.principal.name,
            expires_at=now + MAX_EXCHANGED_LIFE,
        )
        await self._tokens.add(token)
        return token, credential


def _fresh() -> ApiTokenSecret:
    return new_secret(secrets.token_bytes(ID_BYTES + SECRET_BYTES))


@contextmanager
def _faults_in(location: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _invalid(location, str(error)) from None


def _invalid(location: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([{"location": location, "message": message}])
