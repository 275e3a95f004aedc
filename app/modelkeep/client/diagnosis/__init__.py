"""What stands between this machine and a registry: a check for each thing that goes wrong, in the order of causes.

address ─▶ service ─▶ clock
                   └▶ identity ─▶ rights
                               └▶ storage
cache, state, disk
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Final

from modelkeep.client.addresses import DEFAULT_URL, require_address
from modelkeep.client.diagnosis.checks import Check, FaultError, NotCheckedError, Outcome, checked
from modelkeep.client.diagnosis.machine import check_cache, check_disk, check_state
from modelkeep.client.diagnosis.registry import RegistryDiagnosis
from modelkeep.client.token_sources import find_token_source
from modelkeep.kit.proxies import ProxySettings, UnusableVariableError

__all__ = ["Check", "Outcome", "diagnose"]

_AFTER_SERVICE: Final[Mapping[str, tuple[str, Callable[[RegistryDiagnosis], Awaitable[str]]]]] = {
    "clock": ("service", RegistryDiagnosis.check_clock),
    "identity": ("service", RegistryDiagnosis.check_identity),
    "rights": ("identity", RegistryDiagnosis.check_rights),
    "storage": ("identity", RegistryDiagnosis.check_storage),
}
"""Each check with the one that must be ok before it."""


async def diagnose(url: str | None) -> AsyncIterator[Check]:
    """Make every check of the registry at `url`, by default that of the environment, and of this machine."""
    given = url or os.environ.get("MODELKEEP_URL") or None
    address = await checked("address", partial(_check_address, given))
    yield address
    async with aclosing(_registry_checks(given or DEFAULT_URL, is_usable=address.outcome is Outcome.OK)) as checks:
        async for check in checks:
            yield check
    yield await checked("cache", partial(asyncio.to_thread, check_cache, os.environ))
    yield await checked("state", partial(asyncio.to_thread, check_state))
    yield await checked("disk", partial(asyncio.to_thread, check_disk))


async def _check_address(given: str | None) -> str:
    named = "--url" if given != os.environ.get("MODELKEEP_URL") else "MODELKEEP_URL"
    try:
        address = require_address(given or DEFAULT_URL)
        proxy = ProxySettings.from_environment().find(address)
        RegistryDiagnosis(address, None)
    except UnusableVariableError as error:
        raise FaultError("unusable_variable", str(error)) from error
    except ValueError as error:
        raise FaultError("invalid_address", f"In {named}, {error}.") from error
    through = f", through the proxy of {proxy.variable}" if proxy else ""
    by = f"from {named}" if given else "the default, since MODELKEEP_URL is not set"
    return f"{address}, {by}{through}"


async def _registry_checks(url: str, *, is_usable: bool) -> AsyncGenerator[Check]:
    if not is_usable:
        for name in ("service", *_AFTER_SERVICE):
            yield Check(name=name, outcome=Outcome.NOT_CHECKED, detail="Not before address is ok.")
        return
    audience = os.environ.get("MODELKEEP_AUDIENCE") or url.rstrip("/")
    async with RegistryDiagnosis(url, find_token_source(None, os.environ, audience=audience)) as diagnosis:
        yield (service := await checked("service", diagnosis.check_service))
        sound = {"service"} if service.outcome is Outcome.OK else set[str]()
        for name, (needed, step) in _AFTER_SERVICE.items():
            check = await checked(name, partial(step, diagnosis) if needed in sound else partial(_not_checked, needed))
            sound |= {name} if check.outcome is Outcome.OK else set()
            yield check


async def _not_checked(needed: str) -> str:
    raise NotCheckedError(f"Not before {needed} is ok.")
