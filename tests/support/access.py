"""Tokens for tests, made as an operator makes them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

from modelkeep.admin import access
from modelkeep.bootstrap import open_storage
from modelkeep.domain.access.grants import Grant
from modelkeep.repositories.tokens import Tokens
from modelkeep.schemas.access import Grants
from modelkeep.services.access.tokens import TokenService
from modelkeep.settings import Settings
from tests.support.api import Api, serving


async def token_for(
    settings: Settings,
    *,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    models: Sequence[str] = ("*",),
    principal: str = "ci",
    life: timedelta = timedelta(days=1),
) -> str:
    """A registry token with these grants, straight in the table."""
    return (await access.create_token(settings, principal, _grants(allow, deny, models), life))[1].text


def _grants(allow: Sequence[str], deny: Sequence[str], models: Sequence[str]) -> tuple[Grant, ...]:
    return Grants(allow=list(allow), deny=list(deny), models=list(models)).to_grants("")


class Clock:
    """The time since the machine started, for modules that are given it in place of `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Secured:
    """A service that asks for credentials, and who may call it."""

    def __init__(self, api: Api, settings: Settings, stack: AsyncExitStack) -> None:
        self.anonymous = api
        self.settings = settings
        self._stack = stack
        self._tokens: TokenService | None = None

    def bearer(self, token: str) -> Api:
        """The service as the bearer of a token sees it."""
        return Api(self.anonymous.http, token=token)

    async def who(
        self,
        *allow: str,
        deny: Sequence[str] = (),
        models: Sequence[str] = ("*",),
        principal: str = "ci",
    ) -> Api:
        """The service as somebody with these grants sees it."""
        if self._tokens is None:  # an operator opens storage each time, which takes longer than all else
            table, _ = await self._stack.enter_async_context(open_storage(self.settings))
            self._tokens = TokenService(Tokens(table))
        until = datetime.now(UTC) + timedelta(days=1)
        made = await self._tokens.create(principal, _grants(allow, deny, models), until, access.operator())
        return self.bearer(made[1].text)


@asynccontextmanager
async def secured(settings: Settings) -> AsyncIterator[Secured]:
    """A service over the storage of these settings that asks for credentials."""
    own = settings.model_copy(update={"auth": None})
    async with serving(own) as api, AsyncExitStack() as stack:
        yield Secured(api, own, stack)
