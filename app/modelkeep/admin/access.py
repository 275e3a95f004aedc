"""Tokens, trust rules, and whether any client could authenticate, over the storage that the settings name."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from modelkeep.bootstrap import open_storage, trust_of
from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import Grant
from modelkeep.domain.access.tokens import ApiTokenSecret, Token
from modelkeep.domain.values import is_loopback, is_loopback_name
from modelkeep.identity.verifier import Verifier
from modelkeep.repositories.tokens import Tokens
from modelkeep.repositories.trust import TrustDocument, TrustDocuments
from modelkeep.schemas import access_file
from modelkeep.schemas.access import AccessDocument
from modelkeep.services.access.caller import Caller, operator_caller
from modelkeep.services.access.explainer import Explainer, Explanation
from modelkeep.services.access.tokens import TokenService
from modelkeep.settings import Settings
from modelkeep.storage.table import Table
from modelkeep.telemetry import logging

LIST_RETRY_DELAYS: Final = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each attempt to find a token in the list, which may lag behind the table."""

_PAGE_SIZE: Final = 100

NO_ACCESS_CONFIGURED: Final = (
    "No client could authenticate: there is no token and no trust rule. Make a token with `modelkeep token create …"
    " --direct`, name a file of rules in MODELKEEP_ACCESS_FILE, or set MODELKEEP_AUTH=none for a port that only you can"
    " reach."
)
OPEN_TO_ALL: Final = (
    "With MODELKEEP_AUTH=none, every client that reaches {host} could do everything. Listen on 127.0.0.1, require"
    " credentials, or set MODELKEEP_INSECURE=1 if only a network that you trust reaches it."
)
OPEN_BEHIND_A_PROXY: Final = (
    "With MODELKEEP_AUTH=none, every client that reaches {what} could do everything. Require credentials, unset"
    " {variable}, or set MODELKEEP_INSECURE=1 if only a network that you trust reaches it."
)


async def check_access_configured(settings: Settings, host: str) -> None:
    """Raise `ValueError` if no client could authenticate, or every client of a network could do everything.

    Also if file and table mean different things by the same name.

    Raises `UnavailableError`.
    """
    if settings.auth == "none" and not settings.insecure:
        _check_local(settings, host)
    logging.configure(settings.log_level, settings.log_format)
    async with _table(settings) as table:
        trust = trust_of(table, settings)
        if settings.auth == "none":
            return
        rules = (await trust.current()).rules
        _refuse(trust.clashes)
        if rules or await _has_live_token(table):
            return
    raise ValueError(NO_ACCESS_CONFIGURED)


def _check_local(settings: Settings, host: str) -> None:
    """Raise `ValueError` if another machine may reach the service, at its port or through a proxy."""
    if not is_loopback(host):
        raise ValueError(OPEN_TO_ALL.format(host=host))
    if not is_loopback_name(settings.public_host):
        what = {"what": settings.public_url, "variable": "MODELKEEP_PUBLIC_URL"}
        raise ValueError(OPEN_BEHIND_A_PROXY.format_map(what))
    if settings.trusted_proxies:
        what = {"what": "the proxy", "variable": "MODELKEEP_TRUSTED_PROXIES"}
        raise ValueError(OPEN_BEHIND_A_PROXY.format_map(what))


async def create_token(
    settings: Settings, principal: str, grants: Sequence[Grant], life: timedelta
) -> tuple[Token, ApiTokenSecret]:
    """Make a token in the table, and return it with its secret.

    Raises `InvalidRequestError`, `UnavailableError` and `OutcomeUnknownError`.
    """
    async with _table(settings) as table:
        return await TokenService(Tokens(table)).create(principal, grants, datetime.now(UTC) + life, operator())


async def list_tokens(settings: Settings) -> Sequence[Token]:
    """Every token that was made by an operator or a caller, not by token exchange."""
    async with _table(settings) as table:
        return await _tokens(table)


async def revoke_token(settings: Settings, token_id: str) -> None:
    """Revoke a token; revoked already, nothing changes. Raises `TokenNotFoundError`."""
    async with _table(settings) as table:
        await TokenService(Tokens(table)).revoke(token_id, operator())


async def explain(settings: Settings, text: str, action: Action, model: str) -> Explanation:
    """Why the bearer of the token `text` may do something, or why not."""
    logging.configure(settings.log_level, settings.log_format)
    async with _table(settings) as table:
        explainer = Explainer(Tokens(table), trust_of(table, settings), Verifier())
        return await explainer.explain(text, action, model)


async def set_rules(settings: Settings, document: AccessDocument) -> tuple[TrustDocument, Sequence[str]]:
    """Replace the issuers and rules in the table; return them, and warnings about them.

    Raises `ValueError` with every name that means something else in the file that the settings name; then nothing is
    written.
    """
    if settings.access_file:
        _refuse(tuple(access_file.read(settings.access_file).clashes(document.to_trust())))
    async with _table(settings) as table:
        documents = TrustDocuments(table)
        before = await documents.find()
        text, now = document.model_dump_json(exclude_defaults=True), datetime.now(UTC)
        revision = before.revision if before else 0
        await documents.replace(text, revision=revision, now=now)
    return TrustDocument(text=text, revision=revision + 1, changed_at=now), document.to_trust().warnings


async def show_rules(settings: Settings) -> TrustDocument | None:
    """The issuers and rules in the table; `None` if none were ever set."""
    async with _table(settings) as table:
        return await TrustDocuments(table).find()


def _refuse(clashes: Sequence[str]) -> None:
    if clashes:
        raise ValueError(f"MODELKEEP_ACCESS_FILE and the rules of the table clash: {'; '.join(clashes)}.")


async def _has_live_token(table: Table) -> bool:
    """Whether there is a token that is neither revoked nor expired. A new one is looked for again: lists may lag."""
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
        page = await Tokens(table).list(cursor=cursor, limit=_PAGE_SIZE)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


def operator() -> Caller:
    """The caller of one command; a caller keeps every decision on it, so none is shared."""
    return operator_caller("operator", request_id="token")


@asynccontextmanager
async def _table(settings: Settings) -> AsyncGenerator[Table, None]:
    async with open_storage(settings) as (table, _):
        yield table
