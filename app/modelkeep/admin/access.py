"""Tokens, trust rules, and who may come in, over the storage that the settings name."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from modelkeep.bootstrap import open_storage, trust_of
from modelkeep.domain.access.actions import EVERYTHING, Action
from modelkeep.domain.access.grants import ALL_MODELS, Grant
from modelkeep.domain.access.tokens import ApiTokenSecret, Token
from modelkeep.domain.values import is_loopback
from modelkeep.identity.verifier import Verifier
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocument, TrustDocuments
from modelkeep.schemas import access_file
from modelkeep.services.access.caller import operator_caller
from modelkeep.services.access.explainer import Explainer, Explanation
from modelkeep.services.access.tokens import TokenService
from modelkeep.settings import Settings
from modelkeep.storage.table import Table
from modelkeep.telemetry import logging

OPERATOR: Final = operator_caller("operator", request_id="token")
DEV_LIFE: Final = timedelta(days=30)
LIST_RETRY_DELAYS: Final = (0.0, 0.5, 1.0, 2.0)
"""Seconds from one look for tokens to the next."""

_PAGE: Final = 100

NO_ACCESS_CONFIGURED: Final = (
    "Nobody could come in: there is no token and no trust rule. Make a token with `modelkeep token create`, name"
    " a file of rules in MODELKEEP_ACCESS_FILE, or set MODELKEEP_AUTH=none for a port that nobody else reaches."
)
OPEN_TO_ALL: Final = (
    "MODELKEEP_AUTH=none would let whoever reaches {host} do everything. Listen on 127.0.0.1, ask for credentials, or"
    " set MODELKEEP_INSECURE=1 if only a network that you trust reaches it."
)


async def check_access_configured(settings: Settings, host: str) -> None:
    """Raise `ValueError` with a sentence if a service would let in nobody, or anybody. Raises `UnavailableError`."""
    if settings.auth == "none" and not settings.insecure and not is_loopback(host):
        raise ValueError(OPEN_TO_ALL.format(host=host))
    logging.configure(settings.log_level)
    async with _table(settings) as table:
        trust = trust_of(table, settings)
        if settings.auth == "none" or (await trust.current()).rules or await _has_live_token(table):
            return
    raise ValueError(NO_ACCESS_CONFIGURED)


async def create_token(
    settings: Settings, principal: str, grants: Sequence[Grant], life: timedelta
) -> tuple[Token, ApiTokenSecret]:
    """Make a token, straight in the table. Raises `InvalidRequestError`, `UnavailableError`, `OutcomeUnknownError`."""
    async with _table(settings) as table:
        return await TokenService(Tokens(table)).create(principal, grants, datetime.now(UTC) + life, OPERATOR)


async def dev_token(settings: Settings) -> ApiTokenSecret:
    """Make an administrator's token for a registry on this machine."""
    everything = Grant(rule="", words=(EVERYTHING,), models=(ALL_MODELS,))
    return (await create_token(settings, "dev", [everything], DEV_LIFE))[1]


async def list_tokens(settings: Settings) -> Sequence[Token]:
    """Every token that was made by hand."""
    async with _table(settings) as table:
        return await _tokens(table)


async def revoke_token(settings: Settings, token_id: str) -> None:
    """Let a token admit nobody any more. Raises `TokenNotFoundError`."""
    async with _table(settings) as table:
        await TokenService(Tokens(table)).revoke(token_id, OPERATOR)


async def explain(settings: Settings, text: str, action: Action, model: str) -> Explanation:
    """Say why the bearer of a token may do something, or why not."""
    logging.configure(settings.log_level)
    async with _table(settings) as table:
        explainer = Explainer(Tokens(table), trust_of(table, settings), Verifier())
        return await explainer.explain(text, action, model)


async def set_rules(settings: Settings, path: Path) -> Sequence[str]:
    """Put a file of issuers and rules into the table, in place of those there; return what to warn of.

    Raises `ValueError` with a sentence for each fault of the file; nothing is written then.
    """
    document = access_file.load(path)
    async with _table(settings) as table:
        documents = TrustDocuments(table)
        before = await documents.find()
        text = document.model_dump_json(exclude_defaults=True)
        await documents.replace(text, revision=before.revision if before else 0, now=datetime.now(UTC))
    return document.to_trust().warnings


async def show_rules(settings: Settings) -> TrustDocument | None:
    """The issuers and rules that the table holds."""
    async with _table(settings) as table:
        return await TrustDocuments(table).find()


async def _has_live_token(table: Table) -> bool:
    """Whether any token admits anybody. One of a moment ago may not be listed yet, so that is no quick no."""
    for pause in LIST_RETRY_DELAYS:
        await asyncio.sleep(pause)
        now = datetime.now(UTC)
        if any(token.expires_at > now and not token.revoked_at for token in await _tokens(table)):
            return True
    return False


async def _tokens(table: Table) -> Sequence[Token]:
    found: list[Token] = []
    cursor = None
    while True:
        page = await Tokens(table).list(cursor=cursor, limit=_PAGE)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


@asynccontextmanager
async def _table(settings: Settings) -> AsyncGenerator[Table, None]:
    async with open_storage(settings) as (table, _):
        yield table
