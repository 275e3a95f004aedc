"""The judge of histories is right about histories whose verdict anybody can see."""

import random
import time
from collections.abc import Iterator
from itertools import count
from math import inf

import pytest

from tests.support.histories.linearizability import Operation, UndecidedError, Verdict, check
from tests.support.histories.specification import REGISTRY, as_logged
from tests.support.reference_registry import (
    ARCHIVED,
    NO_PRECONDITION,
    PRODUCTION,
    STAGING,
    Begin,
    Complete,
    Delete,
    Expected,
    Move,
    Read,
    RemoveAlias,
    Request,
    Resolve,
    RollBack,
    SetAlias,
    State,
)

DONE = None
WHO = Resolve("production")


class History:
    """Written by hand: what is `told` follows what was told before it, and lies inside `within` if that is named."""

    def __init__(self, versions: int = 3) -> None:
        self.operations: list[Operation] = []
        self._moments = count(1)
        for number in range(1, versions + 1):
            self.told(Begin(), version=number)
            self.told(Complete(number), version=number)

    def told(self, asked: Request, *, code: str | None = DONE, since: int | None = None, **told: object) -> None:
        """One request and its answer; `since` is when it was sent, if not after all before it."""
        invoked = next(self._moments)
        self.operations.append(
            Operation(
                client=0,
                asked=asked,
                told={"code": code, **told},
                invoked=invoked if since is None else since,
                answered=next(self._moments),
            )
        )

    def unknown(self, asked: Request) -> None:
        """One request without an answer."""
        self.operations.append(Operation(client=0, asked=asked, told=None, invoked=next(self._moments)))

    def now(self) -> int:
        """A moment: for requests that are sent here and answered later."""
        return next(self._moments)

    def verdict(self) -> Verdict[State]:
        (verdict,) = check(self.operations, REGISTRY).values()
        return verdict


def promote(number: int, *, expected: Expected = NO_PRECONDITION, only_newer: bool = False) -> Move:
    return Move(number, PRODUCTION, expected, only_newer)


def history(name: str) -> History:
    written = History()
    GOOD_AND_BAD[name](written)
    return written


# -- good ones


def a_day_s_work(h: History) -> None:
    h.told(WHO, code="version_not_found")
    h.told(promote(1), version=1, stage=PRODUCTION, aliases=[])
    h.told(WHO, version=1, generation=7)
    h.told(promote(2, expected=1), version=2)
    h.told(promote(3, expected=1), code="production_changed", holder=2)
    h.told(promote(1, only_newer=True), code="not_newer", holder=2)
    h.told(promote(2, expected=1), version=2)
    h.told(RollBack(), version=1)
    h.told(RollBack(), code="no_earlier_production")
    h.told(SetAlias("champion", 3), version=3)
    h.told(SetAlias("champion", 4), code="version_not_found")
    h.told(Resolve("champion"), version=3, generation=10, is_production=False)
    h.told(Delete(3), code="version_in_use", aliases=["champion"])
    h.told(RemoveAlias("champion"))
    h.told(RemoveAlias("champion"), code="alias_not_found")
    h.told(Delete(3))
    h.told(Complete(3), code="upload_not_found")
    h.told(Resolve("latest"), version=2)
    h.told(Move(1, ARCHIVED), version=1)
    h.told(WHO, code="version_not_found")
    h.told(Read(), generation=13, latest=2, production=None, aliases={})


def a_read_during_a_promotion_may_go_either_way(h: History) -> None:
    h.told(promote(1), version=1)
    sent = h.now()
    h.told(WHO, version=1, generation=7)
    h.told(WHO, version=2, generation=8)
    h.told(promote(2), version=2, since=sent)


def an_unknown_outcome_that_appears_later(h: History) -> None:
    h.told(promote(1), version=1)
    h.unknown(promote(2))
    h.told(WHO, version=1, generation=7)
    h.told(promote(3), version=3)
    h.told(WHO, version=3, generation=8)
    h.told(WHO, version=2, generation=9)


def an_unknown_outcome_that_never_appears(h: History) -> None:
    h.told(promote(1), version=1)
    h.unknown(promote(2))
    h.told(WHO, version=1, generation=7)


def a_refusal_that_fits_a_moment_in_between(h: History) -> None:
    h.told(promote(1), version=1)
    sent = h.now()
    h.told(promote(2), version=2)
    h.told(promote(1), version=1)
    h.told(promote(3, expected=1), code="production_changed", holder=2, since=sent)


def two_rollbacks_go_two_back(h: History) -> None:
    for number in (1, 2, 3):
        h.told(promote(number), version=number)
    h.told(RollBack(expected=3), version=2)
    h.told(RollBack(expected=2), version=1)


def a_deleted_version_is_forgotten_by_rollback(h: History) -> None:
    for number in (1, 2, 1, 3):
        h.told(promote(number), version=number)
    h.told(Delete(2))
    h.told(RollBack(), version=1)
    h.told(RollBack(), code="no_earlier_production")


# -- bad ones


def a_stale_read_after_an_acknowledged_promotion(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(promote(2), version=2)
    h.told(WHO, version=1, generation=7)


def a_stale_304_after_an_acknowledged_promotion(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(promote(2), version=2)
    h.told(WHO, version=1)


def reads_that_go_back(h: History) -> None:
    h.told(promote(1), version=1)
    sent = h.now()
    h.told(WHO, version=2, generation=8)
    h.told(WHO, version=1, generation=7)
    h.told(promote(2), version=2, since=sent)


def two_productions(h: History) -> None:
    sent = h.now()
    h.told(promote(1), version=1, since=sent)
    h.told(promote(2), version=2, since=sent)
    h.told(WHO, version=1)
    h.told(WHO, version=2)


def two_that_passed_one_precondition(h: History) -> None:
    h.told(promote(1), version=1)
    sent = h.now()
    h.told(promote(2, expected=1), version=2, since=sent)
    h.told(promote(3, expected=1), version=3, since=sent)


def an_acknowledged_write_that_is_lost(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(SetAlias("champion", 1), version=1)
    h.told(promote(2), version=2)
    h.told(Read(), generation=8, latest=3, production=2, aliases={})


def a_failed_write_that_took_effect(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(promote(2, expected=3), code="production_changed", holder=1)
    h.told(WHO, version=2)


def a_change_that_nobody_asked_for(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(WHO, version=1, generation=8)


def one_request_that_took_effect_twice(h: History) -> None:
    h.told(promote(1), version=1)
    h.unknown(promote(2))
    h.told(WHO, version=2, generation=8)
    h.told(promote(1), version=1)
    h.told(WHO, version=2, generation=10)


def a_rollback_that_went_two_back(h: History) -> None:
    for number in (1, 2, 3):
        h.told(promote(number), version=number)
    h.told(RollBack(expected=3), version=2)
    h.told(WHO, version=1)


def an_unknown_outcome_before_its_request(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(WHO, version=2, generation=8)
    h.unknown(promote(2))


def one_number_for_two_uploads(h: History) -> None:
    sent = h.now()
    h.told(Begin(), version=4, since=sent)
    h.told(Begin(), version=4, since=sent)


def a_number_that_goes_back(h: History) -> None:
    h.told(Begin(), version=5)
    h.told(Begin(), version=4)


def a_new_version_that_is_not_the_latest(h: History) -> None:
    h.told(Begin(), version=4)
    h.told(Resolve("latest"), version=4)


def a_version_deleted_while_in_use(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(Delete(1))


def a_refusal_without_a_reason(h: History) -> None:
    h.told(promote(1), version=1)
    h.told(Move(2, STAGING), code="version_not_found")


GOOD = [
    a_day_s_work,
    a_read_during_a_promotion_may_go_either_way,
    an_unknown_outcome_that_appears_later,
    an_unknown_outcome_that_never_appears,
    a_refusal_that_fits_a_moment_in_between,
    two_rollbacks_go_two_back,
    a_deleted_version_is_forgotten_by_rollback,
]
BAD = [
    a_stale_read_after_an_acknowledged_promotion,
    a_stale_304_after_an_acknowledged_promotion,
    reads_that_go_back,
    two_productions,
    two_that_passed_one_precondition,
    an_acknowledged_write_that_is_lost,
    a_failed_write_that_took_effect,
    a_change_that_nobody_asked_for,
    one_request_that_took_effect_twice,
    a_rollback_that_went_two_back,
    an_unknown_outcome_before_its_request,
    one_number_for_two_uploads,
    a_number_that_goes_back,
    a_new_version_that_is_not_the_latest,
    a_version_deleted_while_in_use,
    a_refusal_without_a_reason,
]
GOOD_AND_BAD = {story.__name__: story for story in [*GOOD, *BAD]}


@pytest.mark.parametrize("name", [story.__name__ for story in GOOD])
def test_a_good_history_is_explained(name: str) -> None:
    written = history(name)
    verdict = written.verdict()
    assert verdict.is_linearizable, str(verdict)
    closed = [operation for operation in written.operations if not operation.is_open]
    assert [operation for operation in verdict.order if operation in closed] == sorted(closed, key=verdict.order.index)


@pytest.mark.parametrize("name", [story.__name__ for story in BAD])
def test_a_bad_history_is_not(name: str) -> None:
    assert not history(name).verdict().is_linearizable


def test_what_cannot_follow_is_shown_after_what_can() -> None:
    verdict = history("a_stale_read_after_an_acknowledged_promotion").verdict()
    reached = State(8, (ARCHIVED, PRODUCTION, STAGING), (1,), moved=frozenset({1, 2}))
    assert str(verdict).splitlines() == [
        "8 of 9 operations can be put in order. The last of them:",
        *(f"  {operation}" for operation in verdict.order),
        f"That leads to {reached}. One of these has to be next, and none can be:",
        f"  client 0 [17, 18] {WHO} -> code=None, version=1, generation=7",
    ]


def test_models_are_judged_apart() -> None:
    operations = [
        Operation(model=model, client=0, asked=Begin(), told={"version": number}, invoked=1, answered=2)
        for model, number in (("good", 1), ("bad", 2))
    ]
    verdicts = check(operations, REGISTRY)
    assert {model: verdict.is_linearizable for model, verdict in verdicts.items()} == {"good": True, "bad": False}


# -- long ones


class Simulation:
    """Clients of a registry that does one thing after another: whatever it tells is linearizable."""

    def __init__(self, seed: int, *, clients: int = 8, each: int = 40, open_rate: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.state = State()
        self.operations: list[Operation] = []
        self.log: dict[str, int] = {}
        self._each = each
        self._open_rate = open_rate
        self._moments = count(1)
        clients_left = [self._client(number) for number in range(clients)]
        while clients_left:
            client = self.chance.choice(clients_left)
            if next(client, None) is None:
                clients_left.remove(client)

    def _client(self, client: int) -> Iterator[bool]:
        for number in range(self._each):
            asked, invoked, request = self._request(), next(self._moments), f"{client}/{number}"
            yield True
            is_lost = not asked.is_read and self.chance.random() < self._open_rate
            told = None if is_lost and self.chance.random() < 0.5 else self._done(asked, request)
            yield True
            self.operations.append(
                Operation(
                    client=client,
                    asked=asked,
                    told=None if is_lost else told,
                    invoked=invoked,
                    answered=inf if is_lost else next(self._moments),
                    requests=[request],
                )
            )

    def _done(self, asked: Request, request: str) -> dict[str, object]:
        before = self.state
        self.state, says, _ = asked.at(before)
        if self.state != before:
            self.log[request] = self.state.generation
        hidden = () if asked.is_read else ("aliases", "stage")
        return {name: value for name, value in says.items() if name not in hidden}

    def _request(self) -> Request:
        number = self.chance.randint(1, max(len(self.state.stages), 1))
        writes: list[Request] = [
            Begin(),
            Complete(number),
            *[promote(number)] * 3,
            Move(number, STAGING),
            RollBack(),
            SetAlias("champion", number),
            Delete(number),
        ]
        return self.chance.choice([*writes, *[WHO] * 7, Read(), Resolve("latest")])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("open_rate", [0, 0.1])
def test_a_good_history_of_320_operations_takes_well_under_a_second(seed: int, open_rate: float) -> None:
    operations = Simulation(seed, open_rate=open_rate).operations
    began = time.process_time()
    (verdict,) = check(operations, REGISTRY).values()
    assert verdict.is_linearizable, str(verdict)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_registry_s_own_log_keeps_the_search_short_however_many_are_open(seed: int) -> None:
    simulation = Simulation(seed, open_rate=0.5)
    (verdict,) = check(as_logged(simulation.operations, simulation.log), REGISTRY).values()
    assert verdict.is_linearizable, str(verdict)
    assert verdict.configurations < 1_000
    assert len(verdict.order) > verdict.operations // 2


def test_a_log_that_tells_another_order_explains_nothing() -> None:
    simulation = Simulation(1)
    in_order = sorted(simulation.log, key=simulation.log.__getitem__)
    first, later = in_order[0], in_order[len(in_order) // 2]
    swapped = simulation.log | {first: simulation.log[later], later: simulation.log[first]}
    (verdict,) = check(as_logged(simulation.operations, swapped), REGISTRY).values()
    assert not verdict.is_linearizable


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_answer_among_320_is_found(seed: int) -> None:
    operations = Simulation(seed).operations
    reads = [
        n for n, operation in enumerate(operations) if operation.asked == WHO and "version" in (operation.told or {})
    ]
    wrong = operations[reads[len(reads) // 2]]
    assert wrong.told
    lie = {**wrong.told, "version": 1 + int(str(wrong.told["version"]))}
    rest = [operation for operation in operations if operation is not wrong]
    told_a_lie = Operation(client=wrong.client, asked=WHO, told=lie, invoked=wrong.invoked, answered=wrong.answered)
    (verdict,) = check([*rest, told_a_lie], REGISTRY).values()
    assert told_a_lie in verdict.stuck


def test_a_search_without_an_end_is_given_up_aloud() -> None:
    written = History()
    for alias in "abcdefghijklmnop":
        written.unknown(SetAlias(alias, 1))
    written.told(Resolve("production"), version=1)
    with pytest.raises(UndecidedError, match="16 operations are open"):
        check(written.operations, REGISTRY, most=1_000)
