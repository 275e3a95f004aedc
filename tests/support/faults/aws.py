"""What can befall a request to AWS, and plans that say which request it befalls."""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import chain, repeat
from typing import Any, Final


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    REQUEST_LOST = auto()
    """The connection is closed before the request reaches the server: no effect."""
    RESET = auto()
    """The same, and the connection is reset."""
    REPLY_LOST = auto()
    """The effect, and then the connection is closed."""
    HALF_REPLY = auto()
    """The effect, and half of the answer."""
    LATE = auto()
    """The connection is closed, and some milliseconds later the effect happens, if it still can."""
    DELAYED = auto()
    """The effect, and the answer some time later."""
    HANGING = auto()
    """No effect and no answer, for as long as the caller waits."""
    ERROR_500 = auto()
    """The server fails before it does anything."""
    ERROR_500_AFTER = auto()
    """The server fails after the effect."""
    THROTTLED = auto()
    """Turned away because there are too many requests: no effect."""
    CONFLICT = auto()
    """Turned away because another request is at the same item or key: no effect."""
    IN_PROGRESS = auto()
    """Turned away because an earlier copy of the same transaction is said to be under way: no effect."""
    ERROR_IN_200 = auto()
    """S3 answers 200 and then finds that it cannot do it: no effect."""
    ERROR_IN_200_AFTER = auto()
    """The same, but the object stands."""

    @property
    def has_effect(self) -> bool:
        """Whether the request reaches the server behind, if late."""
        return self in _WITH_EFFECT

    def befalls(self, operation: str) -> bool:
        """Whether AWS would ever answer this operation so."""
        return operation in _ONLY.get(self, {operation})


_WITH_EFFECT: Final = frozenset(
    {
        Fault.NONE,
        Fault.REPLY_LOST,
        Fault.HALF_REPLY,
        Fault.LATE,
        Fault.DELAYED,
        Fault.ERROR_500_AFTER,
        Fault.ERROR_IN_200_AFTER,
    }
)
_ONLY: Final[Mapping[Fault, Collection[str]]] = {
    Fault.CONFLICT: {"TransactWriteItems", "PutObject", "CompleteMultipartUpload"},
    Fault.IN_PROGRESS: {"TransactWriteItems"},
    Fault.ERROR_IN_200: {"CompleteMultipartUpload"},
    Fault.ERROR_IN_200_AFTER: {"CompleteMultipartUpload"},
}

Plan = Callable[[str, Mapping[str, Any]], Fault]
"""Chooses the fault of a request by its operation, such as "TransactWriteItems", and its parameters: for DynamoDB the
JSON, for S3 the query with `Bucket`, `Key` and whether it is `presigned`."""


def no_faults(operation: str, parameters: Mapping[str, Any]) -> Fault:
    return Fault.NONE


def always(fault: Fault, *, operations: Collection[str] | None = None) -> Plan:
    """Every request to these operations, or to any."""
    return in_turn(repeat(fault), operations=operations)


def in_turn(faults: Iterable[Fault], *, operations: Collection[str] | None = None) -> Plan:
    """The requests to these operations, or to any, meet these faults in turn, and none once those are used up."""
    left: Iterator[Fault] = chain(faults, repeat(Fault.NONE))
    return lambda operation, _: next(left) if operations is None or operation in operations else Fault.NONE


def at_random(seed: int, rate: float, faults: Sequence[Fault], *, operations: Collection[str] | None = None) -> Plan:
    """One of the faults that can befall the operation, at this rate: the same for the same seed and requests."""
    chance = random.Random(seed)

    def plan(operation: str, _: Mapping[str, Any]) -> Fault:
        possible = [fault for fault in faults if fault.befalls(operation)]
        if not possible or (operations is not None and operation not in operations):
            return Fault.NONE
        return chance.choice(possible) if chance.random() < rate else Fault.NONE

    return plan
