"""The reference registry as the specification that a history of one model is checked against."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from tests.support.histories.linearizability import Operation
from tests.support.reference_registry import STAGING, Move, Request, State

MADE: Final = "made"
ANY: Final = "any"
"""What is told of an operation by the log, not by the answer: the generation that it made, or None."""


class Registry:
    """The specification of one model."""

    initial: Final = State()

    def step(self, state: State, operation: Operation) -> State | None:
        """The state after the operation, if it says all that was told."""
        asked: Request = operation.asked
        after, says, _ = asked.at(state)
        if operation.told is None:
            return after
        if operation.told.get(MADE, ANY) not in {ANY, None if after == state else after.generation}:
            return None
        is_said = all(says.get(name) == value for name, value in operation.told.items() if name != MADE)
        return after if is_said else None

    def is_idle(self, operation: Operation) -> bool:
        """Whether it only reads, or was refused."""
        return operation.asked.is_read or bool(operation.told and operation.told.get("code"))

    def is_overdue(self, state: State, operation: Operation) -> bool:
        """Whether the answer tells of an earlier generation, or the log of one that another operation made."""
        told = operation.told or {}
        generation, made = told.get("generation"), told.get(MADE)
        return (isinstance(generation, int) and generation < state.generation) or (
            isinstance(made, int) and made <= state.generation
        )


class MixedRegistry(Registry):
    """The specification of one model that an earlier release serves, too.

    To that one, a move to `staging` of a version that was never moved changes nothing. Which one it was, the log says.
    """

    def step(self, state: State, operation: Operation) -> State | None:
        """As of one release; an earlier one may have left the state as it is."""
        asked, told = operation.asked, operation.told
        changed_nothing = told is not None and told.get("code") is None and told.get(MADE, ANY) is None
        if changed_nothing and isinstance(asked, Move) and asked.stage == STAGING == state.stage(asked.number):
            return state
        return super().step(state, operation)


REGISTRY: Final = Registry()
MIXED: Final = MixedRegistry()


def as_logged(operations: Sequence[Operation], log: Mapping[str, int]) -> list[Operation]:
    """The same history where each operation is held to the generation that the registry's own log says it made.

    `log` names the generation that a request made. Open operations that it does not know are left out. If these
    operations can be put in order, so can the given ones, and the search is short however many were open.
    """
    found = []
    for operation in operations:
        made = next((log[request] for request in operation.requests if request in log), None)
        if operation.told is not None:
            found.append(replace(operation, told={**operation.told, MADE: made}))
        elif made is not None:
            found.append(replace(operation, told={"code": None, MADE: made}))
    return found
