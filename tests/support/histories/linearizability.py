"""Whether what concurrent callers were told can have come from one registry that does one thing after another.

The search of Wing and Gong, with what Lowe added: a configuration, which is the set of operations that have been put in
order and the state they lead to, is looked at once. Three more rules keep it short, and lose nothing:

- a read or refusal (`is_idle`) that the present state explains is put next, without an alternative;
- of several open operations that ask the same, the oldest comes first;
- a state that an answer is too old for (`is_overdue`) is given up at once.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)

MOST_CONFIGURATIONS: Final = 20_000
"""A search that looks at more is given up: it has not decided anything."""

_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one client asked of a model, and what it was told: `None`, and answered never, if nobody knows.

    Moments are counted, not measured: one that is lower came before. `requests` are the ids under which it was sent.
    """

    model: str = "model"
    client: int
    asked: Any
    told: Mapping[str, object] | None
    invoked: int
    answered: float = inf
    requests: Sequence[str] = ()

    @property
    def is_open(self) -> bool:
        """Whether it may take effect at any time, or never."""
        return self.told is None

    def __str__(self) -> str:
        told = "unknown" if self.told is None else ", ".join(f"{name}={value}" for name, value in self.told.items())
        return f"client {self.client} [{self.invoked}, {self.answered}] {self.asked} -> {told}"


class Specification(Protocol[S]):
    """What a model does, one operation after another."""

    @property
    def initial(self) -> S:
        """What a model is before anything was asked of it."""
        ...

    def step(self, state: S, operation: Operation) -> S | None:
        """The state after the operation, which says the same as it was told; `None` if it cannot be now."""
        ...

    def is_idle(self, operation: Operation) -> bool:
        """Whether the operation, as told, can have changed nothing at any time."""
        ...

    def is_overdue(self, state: S, operation: Operation) -> bool:
        """Whether this state and all that can follow are too late for what the operation was told."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict(Generic[S]):
    """The longest order that explains what was told, and what cannot follow if that is not all of it."""

    operations: int
    order: Sequence[Operation]
    state: S
    stuck: Sequence[Operation]
    configurations: int

    @property
    def is_linearizable(self) -> bool:
        """Whether every answer is explained."""
        return not self.stuck

    def __str__(self) -> str:
        if self.is_linearizable:
            return f"{self.operations} operations explained, {self.configurations} configurations"
        return "\n".join(
            [
                f"{len(self.order)} of {self.operations} operations can be put in order. The last of them:",
                *(f"  {operation}" for operation in self.order[-_SHOWN:]),
                f"That leads to {self.state}. One of these has to be next, and none can be:",
                *(f"  {operation}" for operation in self.stuck[: 2 * _SHOWN]),
            ]
        )


class UndecidedError(Exception):
    """The search was given up: too many operations are open, or too many at a time."""


def check(
    operations: Sequence[Operation], specification: Specification[S], *, most: int = MOST_CONFIGURATIONS
) -> dict[str, Verdict[S]]:
    """The verdict on each model: no operation touches two. Raises `UndecidedError`."""
    models: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        models[operation.model].append(operation)
    return {model: _Search(history, specification, most).verdict() for model, history in models.items()}


@dataclass(frozen=True, slots=True)
class _Path:
    """An order, from its end."""

    before: "_Path | None" = None
    last: Operation | None = None
    length: int = 0

    def then(self, operation: Operation) -> "_Path":
        return _Path(self, operation, self.length + 1)

    def order(self) -> list[Operation]:
        found: list[Operation] = []
        path: _Path | None = self
        while path and path.last:
            found.append(path.last)
            path = path.before
        return found[::-1]


@dataclass(frozen=True, slots=True)
class _Configuration(Generic[S]):
    """The operations that are in order, as bits, and the state they lead to."""

    done: int
    state: S
    path: _Path

    def then(self, number: int, operation: Operation, state: S) -> "_Configuration[S]":
        return _Configuration(self.done | 1 << number, state, self.path.then(operation))


@dataclass(slots=True)
class _Search(Generic[S]):
    """Depth first; operations that end soon first, open ones last."""

    history: Sequence[Operation]
    specification: Specification[S]
    most: int
    closed: Sequence[Operation] = field(init=False)
    opened: Sequence[Operation] = field(init=False)

    def __post_init__(self) -> None:
        by_time = sorted(self.history, key=lambda operation: operation.invoked)
        self.closed = [operation for operation in by_time if not operation.is_open]
        self.opened = [operation for operation in by_time if operation.is_open]

    def verdict(self) -> Verdict[S]:
        all_closed = (1 << len(self.closed)) - 1
        pending = [_Configuration(0, self.specification.initial, _Path())]
        seen: set[tuple[int, S]] = set()
        deepest, most_done = pending[0], -1
        while pending:
            reached = self._settled(pending.pop())
            if (reached.done, reached.state) in seen:
                continue
            seen.add((reached.done, reached.state))
            if len(seen) > self.most:
                raise UndecidedError(f"{len(seen)} configurations, and {len(self.opened)} operations are open")
            done = (reached.done & all_closed).bit_count()
            if done > most_done:
                deepest, most_done = reached, done
            if done == len(self.closed):
                return Verdict(len(self.closed), reached.path.order(), reached.state, (), len(seen))
            pending += reversed([*self._next(reached)])
        stuck = [self.closed[number] for number in self._candidates(deepest.done)]
        return Verdict(len(self.closed), deepest.path.order(), deepest.state, stuck, len(seen))

    def _settled(self, reached: _Configuration[S]) -> _Configuration[S]:
        """The configuration after all idle operations that its state explains."""
        while True:
            before = reached
            for number in self._candidates(reached.done):
                operation = self.closed[number]
                is_idle = self.specification.is_idle(operation)
                if is_idle and self.specification.step(reached.state, operation) is not None:
                    reached = reached.then(number, operation, reached.state)
            if reached is before:
                return reached

    def _next(self, reached: _Configuration[S]) -> Iterator[_Configuration[S]]:
        candidates = self._candidates(reached.done)
        if any(self.specification.is_overdue(reached.state, self.closed[number]) for number in candidates):
            return
        deadline = min(self.closed[number].answered for number in candidates)
        for number in sorted(candidates, key=lambda number: self.closed[number].answered):
            operation = self.closed[number]
            is_idle = self.specification.is_idle(operation)
            if not is_idle and (after := self.specification.step(reached.state, operation)) is not None:
                yield reached.then(number, operation, after)
        asked = set()
        for number, operation in enumerate(self.opened, len(self.closed)):
            if operation.invoked > deadline:
                break
            if reached.done >> number & 1 or operation.asked in asked:
                continue
            asked.add(operation.asked)
            after = self.specification.step(reached.state, operation)
            if after is not None and after != reached.state:
                yield reached.then(number, operation, after)

    def _candidates(self, done: int) -> list[int]:
        """The closed operations that may be next: none that is not done was answered before they were invoked."""
        found = []
        deadline = inf
        left = ~done & ((1 << len(self.closed)) - 1)
        first = (left & -left).bit_length() - 1 if left else len(self.closed)
        for number in range(first, len(self.closed)):
            operation = self.closed[number]
            if operation.invoked > deadline:
                break
            if not done >> number & 1:
                found.append(number)
                deadline = min(deadline, operation.answered)
        return found
