"""Tokens for tests, made as an operator makes them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from app.operate import access
from app.schemas.access import Grants
from app.settings import Settings
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
    grants = Grants(allow=list(allow), deny=list(deny), models=list(models)).to_grants("")
    return (await access.create_token(settings, principal, grants, life))[1].text


class Clock:
    """The time since the machine started, for modules that are given it in place of `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Secured:
    """A service that asks for credentials, and who may call it."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self.nobody = api
        self.settings = settings

    def bearer(self, token: str) -> Api:
        """The service as the bearer of a token sees it."""
        return Api(self.nobody.http, token=token)

    async def who(
        self,
        *allow: str,
        deny: Sequence[str] = (),
        models: Sequence[str] = ("*",),
        principal: str = "ci",
    ) -> Api:
        """The service as somebody with these grants sees it."""
        return self.bearer(await token_for(self.settings, allow=allow, deny=deny, models=models, principal=principal))


@asynccontextmanager
async def secured(settings: Settings) -> AsyncIterator[Secured]:
    """A service over the storage of these settings that asks for credentials."""
    own = settings.model_copy(update={"auth": None})
    async with serving(own) as api:
        yield Secured(api, own)
