"""Registry tokens: one item each, `$token#<id>`, without the secret.

They belong to no model and have no history, so they do not go through the ledger. Each write is a compare-and-set: the
id is new, or the token still has the revision that was read.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.tokens import Token
from modelkeep.domain.errors import UnavailableError
from modelkeep.repositories import conditional_put
from modelkeep.repositories import cursor as cursors
from modelkeep.repositories.keys import (
    TOKEN,
    TOKENS,
    from_text,
    keyed,
    optional_text,
    optional_time,
    to_text,
    token_key,
    unknown,
)
from modelkeep.repositories.pages import Page
from modelkeep.storage.table import CATALOG_INDEX, PARTITION, SORT, TTL, Absent, Condition, Equals, Item, Table

RETENTION_AFTER_EXPIRY: Final = timedelta(days=30)
"""How long an expired token is still listed."""

_SCOPE: Final = "tokens"

_TOKEN: Final = frozenset(
    {
        PARTITION,
        SORT,
        TTL,
        "digest",
        "principal",
        "grants",
        "rules",
        "created_at",
        "created_by",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "revision",
        "catalog",
    }
)
_GRANT: Final = frozenset({"words", "models", "denies"})


class Tokens:
    """Add, find, list and change tokens."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def add(self, token: Token) -> None:
        """Store a new token. Raises `UnavailableError`; `OutcomeUnknownError` if it may or may not be stored."""
        if not await self._put(token, Absent()):
            raise UnavailableError("The token's id is taken. Nothing was changed; try again.")

    async def find(self, token_id: str) -> Token | None:
        """The token as it is now, also expired or revoked; `None` if there is none. Raises `UnavailableError`."""
        item = await self._table.get(token_key(token_id))
        return from_item(item) if item else None

    async def list(self, *, cursor: str | None, limit: int) -> Page[Token]:
        """The created tokens, by id. A new one may be missing, because the index lags. Raises `InvalidCursorError`."""
        name = cursors.decode_name(_SCOPE, cursor, prefix="")
        after = token_key(name) if name else None
        page = await self._table.query_index(CATALOG_INDEX, TOKENS, prefix=TOKEN, after=after, limit=limit)
        items = await self._table.get_many(page.items)
        more = page.more and page.items
        last = cursors.encode(_SCOPE, page.items[-1].partition.removeprefix(TOKEN)) if more else None
        return Page([from_item(item) for item in items if item], last)

    async def replace(self, token: Token) -> bool:
        """Write a token that was read; return `False`, and write nothing, if it has been written since.

        Raises `UnavailableError`; `OutcomeUnknownError` if it may or may not have been written.
        """
        return await self._put(replace(token, revision=token.revision + 1), Equals({"revision": token.revision}))

    async def _put(self, token: Token, condition: Condition) -> bool:
        return await conditional_put.put_idempotently(self._table, to_item(token), condition, what=f"token {token.id}")


def to_item(token: Token) -> dict[str, Any]:
    """The item of a token. A created token stays in the catalog index until 30 days after its expiry.

    One from a token exchange is not listed, and expires after its 15 minutes.
    """
    item = {
        **token.extra,
        **keyed(token_key(token.id)),
        "digest": token.digest,
        "principal": token.principal,
        "grants": [_grant_to_item(grant) for grant in token.grants],
        "rules": list(token.rules),
        "created_at": to_text(token.created_at),
        "created_by": token.created_by,
        "expires_at": to_text(token.expires_at),
        "revoked_at": optional_text(token.revoked_at),
        "last_used_at": optional_text(token.last_used_at),
        "revision": token.revision,
    }
    if token.rules:
        return {**item, TTL: int(token.expires_at.timestamp())}
    return {**item, TTL: int((token.expires_at + RETENTION_AFTER_EXPIRY).timestamp()), "catalog": TOKENS}


def from_item(item: Item) -> Token:
    """The inverse of `to_item`."""
    token_id = item[PARTITION].removeprefix(TOKEN)
    return Token(
        id=token_id,
        digest=item["digest"],
        principal=item["principal"],
        grants=tuple(_grant_from_item(token_id, grant) for grant in item["grants"]),
        rules=tuple(item["rules"]),
        created_at=from_text(item["created_at"]),
        created_by=item["created_by"],
        expires_at=from_text(item["expires_at"]),
        revoked_at=optional_time(item["revoked_at"]),
        last_used_at=optional_time(item["last_used_at"]),
        revision=int(item["revision"]),
        extra=unknown(item, _TOKEN),
    )


def _grant_to_item(grant: Grant) -> dict[str, Any]:
    return {**grant.extra, "words": list(grant.entries), "models": list(grant.models), "denies": grant.denies}


def _grant_from_item(token_id: str, item: Item) -> Grant:
    return Grant(
        rule=f"token:{token_id}",
        entries=tuple(item["words"]),
        models=tuple(item["models"]),
        denies=item["denies"],
        extra=unknown(item, _GRANT),
    )
