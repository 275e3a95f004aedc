"""What a model does, one request after another: the contract of the README as a pure function, written anew.

A request's `at` says what it makes of a state, and all that an answer may tell of it. `code` is the code of the problem
or None; what an answer tells beside that depends on the request. A refusal leaves the state as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, NamedTuple

from tests.support.histories.linearizability import Operation

UPLOADING: Final = "uploading"
STAGING: Final = "staging"
PRODUCTION: Final = "production"
ARCHIVED: Final = "archived"
GONE: Final = "gone"

LONGEST_HISTORY: Final = 20


class NoFence(NamedTuple):
    """The production version is not asked about."""


NO_FENCE: Final = NoFence()
Fence = int | NoFence | None


class State(NamedTuple):
    """A model: what each number is, from 1; who was production before, the latest last; and its aliases, by name."""

    generation: int = 0
    places: tuple[str, ...] = ()
    history: tuple[int, ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()

    @property
    def production(self) -> int | None:
        """The version that holds production."""
        return self.places.index(PRODUCTION) + 1 if PRODUCTION in self.places else None

    @property
    def latest(self) -> int | None:
        """The highest number of a version that is there."""
        return max((number for number in range(1, len(self.places) + 1) if self.has(number)), default=None)

    def place(self, number: int) -> str:
        """What is under a number."""
        return self.places[number - 1] if 0 < number <= len(self.places) else GONE

    def has(self, number: int) -> bool:
        """Whether there is a complete version of this number."""
        return self.place(number) not in {UPLOADING, GONE}

    def aliases_of(self, number: int) -> list[str]:
        """The aliases of a version, by name."""
        return [alias for alias, named in self.aliases if named == number]

    def with_places(self, places: Mapping[int, str], **others: Any) -> "State":
        """One generation later, with other things under these numbers."""
        changed = tuple(places.get(number, place) for number, place in enumerate(self.places, 1))
        return self._replace(generation=self.generation + 1, places=changed, **others)

    def with_production(self, number: int, history: tuple[int, ...]) -> "State":
        """One generation later, with this version in production, and the holder archived."""
        holder = self.production
        archived = {} if holder is None else {holder: ARCHIVED}
        return self.with_places({**archived, number: PRODUCTION}, history=history[-LONGEST_HISTORY:])


MADE: Final = "made"
ANY: Final = "any"
"""What is told of an operation by the log, not by the answer: the generation that it made, or None."""

Told = Mapping[str, object]
Outcome = tuple[State, Told]


def _done(state: State, **told: object) -> Outcome:
    return state, {"code": None, **told}


def _refused(state: State, code: str, **told: object) -> Outcome:
    return state, {"code": code, **told}


class Request:
    """What can be asked of a model that is there."""

    is_read: ClassVar[bool] = False

    def at(self, state: State) -> Outcome:
        """What comes of it now."""
        return self._at(state) if state.places else _refused(state, "model_not_found")

    def _at(self, state: State) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True)
class Move(Request):
    """Put a version into a stage."""

    number: int
    stage: str
    expected: Fence = NO_FENCE
    only_newer: bool = False

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _refused(state, "version_not_found")
        told = {"version": self.number, "stage": self.stage, "aliases": state.aliases_of(self.number)}
        holder = state.production
        if state.place(self.number) == self.stage:
            return _done(state, **told)
        if not isinstance(self.expected, NoFence) and self.expected != holder:
            return _refused(state, "production_changed", holder=holder)
        if self.stage == PRODUCTION:
            if self.only_newer and holder is not None and self.number < holder:
                return _refused(state, "not_newer", holder=holder)
            return _done(self._promoted(state, holder), **told)
        left = (*state.history, self.number) if holder == self.number else state.history
        return _done(state.with_places({self.number: self.stage}, history=left[-LONGEST_HISTORY:]), **told)

    def _promoted(self, state: State, holder: int | None) -> State:
        history = state.history if holder is None else (*state.history, holder)
        return state.with_production(self.number, history[:-1] if history[-1:] == (self.number,) else history)


@dataclass(frozen=True)
class RollBack(Request):
    """Give production back to who held it before."""

    expected: Fence = NO_FENCE

    def _at(self, state: State) -> Outcome:
        if not isinstance(self.expected, NoFence) and self.expected != state.production:
            return _refused(state, "production_changed", holder=state.production)
        if not state.history:
            return _refused(state, "no_earlier_production")
        *history, number = state.history
        return _done(state.with_production(number, tuple(history)), version=number)


@dataclass(frozen=True)
class SetAlias(Request):
    """Let an alias name a version."""

    alias: str
    number: int

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _refused(state, "version_not_found")
        aliases = dict(state.aliases)
        if aliases.get(self.alias) == self.number:
            return _done(state, version=self.number)
        aliases[self.alias] = self.number
        return _done(state.with_places({}, aliases=tuple(sorted(aliases.items()))), version=self.number)


@dataclass(frozen=True)
class RemoveAlias(Request):
    """Take an alias away."""

    alias: str

    def _at(self, state: State) -> Outcome:
        left = tuple((alias, number) for alias, number in state.aliases if alias != self.alias)
        if left == state.aliases:
            return _refused(state, "alias_not_found")
        return _done(state.with_places({}, aliases=left))


@dataclass(frozen=True)
class Begin(Request):
    """Reserve the next number; the first one makes the model."""

    def at(self, state: State) -> Outcome:
        """Whether or not there is a model."""
        begun = state._replace(generation=state.generation + 1, places=(*state.places, UPLOADING))
        return _done(begun, version=len(begun.places))


@dataclass(frozen=True)
class Complete(Request):
    """Make a version of an upload whose bytes have arrived."""

    number: int

    def _at(self, state: State) -> Outcome:
        if state.place(self.number) == UPLOADING:
            return _done(state.with_places({self.number: STAGING}), version=self.number)
        if state.has(self.number):
            return _done(state, version=self.number)
        return _refused(state, "upload_not_found")


@dataclass(frozen=True)
class Delete(Request):
    """Put a version into the trash."""

    number: int

    def _at(self, state: State) -> Outcome:
        if not state.has(self.number):
            return _refused(state, "version_not_found")
        aliases = state.aliases_of(self.number)
        if aliases or state.production == self.number:
            return _refused(state, "version_in_use", aliases=aliases)
        return _done(state.with_places({self.number: GONE}, history=_forgotten(self.number, state)))


@dataclass(frozen=True)
class Resolve(Request):
    """Ask which version a ref is: production, latest or an alias. `known` is the commit that the caller has."""

    is_read: ClassVar[bool] = True
    ref: str
    known: str | None = field(default=None, compare=False)

    def _at(self, state: State) -> Outcome:
        named = {**dict(state.aliases), "production": state.production, "latest": state.latest}
        number = named.get(self.ref)
        if number is None:
            return _refused(state, "version_not_found")
        held = state.production == number
        return _done(state, version=number, generation=state.generation, is_production=held)


@dataclass(frozen=True)
class Read(Request):
    """Read the model, by itself or, where it is found, in the list of all."""

    is_read: ClassVar[bool] = True
    in_list: bool = field(default=False, compare=False)

    def _at(self, state: State) -> Outcome:
        return _done(
            state,
            generation=state.generation,
            latest=state.latest,
            production=state.production,
            aliases=dict(state.aliases),
        )


def _forgotten(number: int, state: State) -> tuple[int, ...]:
    """The history without a version: nobody holds production twice in a row, the present holder neither."""
    history: list[int] = []
    for holder in state.history:
        if holder != number and history[-1:] != [holder]:
            history.append(holder)
    return tuple(history[:-1] if history[-1:] == [state.production] else history)


def _made(state: State, after: State) -> int | None:
    return None if after == state else after.generation


class Registry:
    """The specification of one model."""

    initial: Final = State()

    def step(self, state: State, operation: Operation) -> State | None:
        """The state after the operation, if it says all that was told."""
        asked: Request = operation.asked
        after, says = asked.at(state)
        if operation.told is None:
            return after
        if operation.told.get(MADE, ANY) not in {ANY, _made(state, after)}:
            return None
        says = {**says, MADE: operation.told.get(MADE)}
        return after if all(says.get(name) == value for name, value in operation.told.items()) else None

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


REGISTRY: Final = Registry()


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
