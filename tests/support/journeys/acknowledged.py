"""What callers were told of their changes, held against the history of the models."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from modelkeep.domain.events import Event, EventType

Answer = Literal["ok", "refused", "failed", "unknown"]
"""Done; not done for what the model is; not done for what the table is; nobody knows."""


@dataclass(kw_only=True)
class Mutation:
    """One change that somebody wanted, under an Idempotency-Key or without, and what was answered to each request."""

    kind: EventType
    model: str
    version: int | None
    alias: str | None
    key: str | None
    since: int
    """The model's generation before the first request."""
    until: int = 0
    """The same after the last answer."""
    request_ids: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def told(self) -> Answer:
        """The last word."""
        return self.answers[-1]

    @property
    def was_unknown(self) -> bool:
        return "unknown" in self.answers


def effects_of(mutations: Iterable[Mutation], histories: Mapping[str, Sequence[Event]]) -> Mapping[str, list[Event]]:
    """The events of each mutation, by its first request. Histories have no gap, and nothing that nobody asked for.

    What a sweep did is no effect of anybody's.
    """
    asked = {request: mutation.request_ids[0] for mutation in mutations for request in mutation.request_ids}
    effects: dict[str, list[Event]] = defaultdict(list)
    for history in histories.values():
        assert [event.generation for event in history] == list(range(1, len(history) + 1))
        for event in history:
            if event.actor != "sweep":
                effects[asked[event.request_id]].append(event)
    return effects


def check(mutation: Mutation, effects: Sequence[Event], history: Sequence[Event]) -> None:
    """Hold what was told of a mutation against its effects."""
    for event in effects:
        assert (event.type, event.model, event.alias) == (mutation.kind, mutation.model, mutation.alias)
        assert mutation.version in {None, event.version}
        assert mutation.since < event.generation
    match mutation.told:
        case "ok" if not effects:
            assert was_so(mutation, history), mutation
        case "ok":
            assert len(effects) == 1, mutation
        case "unknown":
            assert mutation.key is None
            assert len(effects) <= 1, mutation
        case _:
            assert effects == [], mutation


def was_so(mutation: Mutation, history: Sequence[Event]) -> bool:
    """Whether at some instant of its requests the model was already as the mutation wanted it."""
    match mutation.kind:
        case EventType.STAGE_CHANGED:
            states = productions(history)
        case EventType.ALIAS_SET:
            states = aliased(history, mutation.alias)
        case _:
            return False
    return mutation.version in states[mutation.since : mutation.until + 1]


def productions(history: Sequence[Event]) -> list[int | None]:
    """The production version of each generation."""
    states: list[int | None] = [None]
    for event in history:
        moved = event.type in {EventType.STAGE_CHANGED, EventType.ROLLED_BACK}
        states.append(event.version if moved else states[-1])
    return states


def aliased(history: Sequence[Event], alias: str | None) -> list[int | None]:
    """What an alias named at each generation."""
    states: list[int | None] = [None]
    for event in history:
        named = event.version if event.type is EventType.ALIAS_SET else None
        states.append(named if event.alias == alias else states[-1])
    return states
