"""What a check of the client's surroundings comes to: a sentence, and whether anything is to be done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended. What is not checked, for lack of what it needs, is no fault."""

    OK = "ok"
    FAULT = "fault"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: `detail` is what was found or, of a fault, also what to do; only a fault has a `code`."""

    name: str
    outcome: Outcome
    detail: str
    code: str | None = None


class FaultError(Exception):
    """Something is wrong, by its stable code, and in sentences that say what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotCheckedError(Exception):
    """A check cannot be made; the message says why."""


async def checked(name: str, step: Callable[[], Awaitable[str]]) -> Check:
    """The check that a step makes, which returns what it found or raises `FaultError` or `NotCheckedError`."""
    try:
        return Check(name=name, outcome=Outcome.OK, detail=await step())
    except FaultError as fault:
        return Check(name=name, outcome=Outcome.FAULT, detail=str(fault), code=fault.code)
    except NotCheckedError as reason:
        return Check(name=name, outcome=Outcome.NOT_CHECKED, detail=str(reason))
