"""What callers were told of their changes, held against the history of the models."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from modelkeep.domain.events import Event, EventType
from tests.support.reference_registry import (
    GONE,
    Abandon,
    Begin,
    Complete,
    Delete,
    Edit,
    Move,
    RemoveAlias,
    Request,
    Restore,
    RollBack,
    SetAlias,
    State,
)

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
    """The events of each mutation, by its first request. What a sweep did is no effect of any.

    Histories have no gap, nothing that was not asked for, and nothing that could not follow what is before it.
    """
    asked = {request: mutation.request_ids[0] for mutation in mutations for request in mutation.request_ids}
    effects: dict[str, list[Event]] = defaultdict(list)
    for history in histories.values():
        assert [event.generation for event in history] == list(range(1, len(history) + 1))
        replayed(history)
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
    states = replayed(history)[mutation.since : mutation.until + 1]
    match mutation.kind:
        case EventType.STAGE_CHANGED:
            return mutation.version in [state.production for state in states]
        case EventType.ALIAS_SET:
            return mutation.version in [dict(state.aliases).get(mutation.alias or "") for state in states]
        case _:
            return False


REQUESTS: Final[Mapping[EventType, Callable[[Event], Request]]] = {
    EventType.UPLOAD_BEGUN: lambda _: Begin(),
    EventType.UPLOAD_ABANDONED: lambda event: Abandon(event.version or 0),
    EventType.VERSION_COMPLETED: lambda event: Complete(event.version or 0),
    EventType.STAGE_CHANGED: lambda event: Move(event.version or 0, event.target or ""),
    EventType.ROLLED_BACK: lambda _: RollBack(),
    EventType.ALIAS_SET: lambda event: SetAlias(event.alias or "", event.version or 0),
    EventType.ALIAS_REMOVED: lambda event: RemoveAlias(event.alias or ""),
    EventType.VERSION_EDITED: lambda event: Edit(event.version, changes=True),
    EventType.VERSION_DELETED: lambda event: Delete(event.version or 0),
    EventType.VERSION_RESTORED: lambda event: Restore(event.version or 0),
}
"""The request that leaves each kind of event."""


def replayed(history: Sequence[Event]) -> list[State]:
    """The model at each generation, from 0; each event is the one that the reference makes of such a request."""
    states = [State()]
    for event in history:
        if event.type in {EventType.UPLOAD_EXPIRED, EventType.VERSION_PURGED}:
            states.append(states[-1].then({event.version or 0: GONE}))
            continue
        state, told, events = REQUESTS[EventType(event.type)](event).at(states[-1])
        assert told["code"] is None, event
        said = {"from": event.origin, "to": event.target, "alias": event.alias, "replaced": event.replaced}
        (made,) = events
        assert {"type": event.type, "version": event.version, **said} == {**dict.fromkeys(said), **made}, event
        states.append(state)
    return states
