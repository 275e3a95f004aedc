"""Checks of the registry at an address, and of its storage: one attempt each, with little patience."""

import time
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self

import httpx

from modelkeep.client.diagnosis.advice import advice_on
from modelkeep.client.diagnosis.checks import FaultError, NotCheckedError
from modelkeep.client.diagnosis.storage import read_a_byte
from modelkeep.client.errors import NotARegistryError, NoTokenError, UnreachableError, code_of
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.token_sources import EXPIRY_MARGIN_SECONDS, TokenSource
from modelkeep.domain.access.actions import EVERYTHING
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.domain.errors import RegistryError, UnauthenticatedError
from modelkeep.kit.text import format_duration, format_moment
from modelkeep.schemas.downloads import DownloadResponse
from modelkeep.schemas.models import ModelPage
from modelkeep.schemas.tokens import GrantResponse
from modelkeep.schemas.whoami import WhoAmIResponse

_TIMEOUT: Final = httpx.Timeout(10, connect=5)
_LOOKED_AT: Final = 100
"""How many models are looked at for one that has a version."""


class RegistryDiagnosis:
    """What can be found out about a registry, by methods that are to be awaited in their order, in an `async with`.

    Each returns what it found, and raises `FaultError` or `NotCheckedError`.
    """

    def __init__(self, url: str, token_source: TokenSource | None) -> None:
        """Raises `ValueError` for an address or an environment with which nothing can be requested."""
        hooks: dict[str, list[Any]] = {"request": [self._note_request], "response": [self._note_response]}
        self._transport = RegistryTransport(
            url, token_source=token_source, timeout=_TIMEOUT, max_attempts=1, hooks=hooks
        )
        self._without_token = RegistryTransport(url, timeout=_TIMEOUT, max_attempts=1, hooks=hooks)
        self._token_source = token_source
        self._sent_at = self._received_at = 0.0
        self._date: float | None = None
        self._caller: WhoAmIResponse | RegistryError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._transport.__aexit__()
        await self._without_token.__aexit__()

    async def check_service(self) -> str:
        """Whether a registry answers. Who the caller is to it is for a later check."""
        try:
            try:
                self._caller = await self._transport.get(WhoAmIResponse, "whoami")
            except NoTokenError as error:
                self._caller = error
                await self._without_token.get(WhoAmIResponse, "whoami")
        except UnreachableError as error:
            raise FaultError(code_of(error), _unreachable(error)) from error
        except RegistryError as error:
            self._caller = self._caller or error
        return f"a registry answers, in {format_duration(self._received_at - self._sent_at)}"

    async def check_clock(self) -> str:
        """Whether the clocks of this machine and the service agree, as far as tokens need it."""
        if self._date is None:
            raise NotCheckedError("The service does not say what time it has.")
        ahead = self._received_at - self._date
        behind = self._date + 1 - self._sent_at
        if max(ahead, behind) <= EXPIRY_MARGIN_SECONDS:
            return "this machine and the service have the same time"
        difference = f"{format_duration(max(ahead, behind))} {'ahead of' if ahead > behind else 'behind'}"
        raise FaultError(
            "clock_differs",
            f"The clock of this machine is {difference} that of the service. Set the one that is wrong: by wrong time,"
            " tokens, certificates and signed URLs are refused. `timedatectl` says whether this one is synchronised.",
        )

    async def check_identity(self) -> str:
        """Which principal the registry takes the caller for."""
        if isinstance(self._caller, RegistryError) and code_of(self._caller) == "not_found":
            await self._ask(ModelPage, "models", limit=1)
            return f"{self._credential()} is accepted; this service is too old to say who you are"
        if not isinstance(self._caller, WhoAmIResponse):
            raise self._refused(self._caller)
        until = f", until {format_moment(self._caller.expires_at)}" if self._caller.expires_at else ""
        return f"you are '{self._caller.principal}' by {self._credential()}{until}"

    async def check_rights(self) -> str:
        """What the caller may do."""
        if not isinstance(self._caller, WhoAmIResponse):
            raise NotCheckedError("This service is too old to say what you may do.")
        allowed = [f"{_listed(grant.allow)} {_on(grant)}" for grant in self._caller.grants if grant.allow]
        denied = [f"{_listed(grant.deny)} {_on(grant)}" for grant in self._caller.grants if grant.deny]
        if not allowed:
            raise FaultError("no_rights", "You may do nothing. Have a token made that allows what you need.")
        return f"you may do: {'; '.join(allowed)}{''.join(f'; but never: {each}' for each in denied)}"

    async def check_storage(self) -> str:
        """Whether this machine reaches storage with a URL that the service signs: the first byte of a file is read."""
        models = await self._ask(ModelPage, "models", limit=_LOOKED_AT)
        found = next((model for model in models.items if model.latest_version), None)
        if found is None:
            raise NotCheckedError("There is no version that you may read, so no URL can be signed. Register one.")
        path = ("models", found.model, "versions", found.production_version or found.latest_version or 0, "download")
        download = await self._ask(DownloadResponse, *path)
        return read_a_byte(min(download.artifacts, key=lambda artifact: artifact.size or 0))

    async def _ask(self, schema: Any, *path: str | int, **query: int) -> Any:
        try:
            return await self._transport.get(schema, *path, **query)
        except RegistryError as error:
            raise self._refused(error) from error

    def _refused(self, error: RegistryError | None) -> FaultError:
        if isinstance(error, UnauthenticatedError) and self._token_source:
            return FaultError(code_of(error), f"{error} It is {self._credential()}.")
        return FaultError(code_of(error) if error else "unreachable", str(error))

    def _credential(self) -> str:
        return f"the token from {self._token_source.source}" if self._token_source else "no token at all"

    async def _note_request(self, _: httpx.Request) -> None:
        self._sent_at = time.time()

    async def _note_response(self, response: httpx.Response) -> None:
        self._received_at = time.time()
        self._date = _seconds(response.headers.get("date", ""))


def _unreachable(error: UnreachableError) -> str:
    advice = "" if isinstance(error, NotARegistryError) else advice_on(error)
    return f"No answer from {error.url}: {error.reason}. {advice}" if advice else str(error)


def _listed(entries: list[str]) -> str:
    return ", ".join("everything" if entry == EVERYTHING else entry for entry in entries)


def _on(grant: GrantResponse) -> str:
    return f"on {', '.join(grant.models)}" if grant.models != [ALL_MODELS] else "on all models"


def _seconds(date: str) -> float | None:
    """The time of a `Date` header, in seconds since 1970; `None` if it has none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
