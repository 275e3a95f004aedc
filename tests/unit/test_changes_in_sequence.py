"""Whatever sequence of decisions is taken on one model, its invariants hold."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from modelkeep.domain import changes
from modelkeep.domain.changes import CreateItem, Decision, DeleteItem, Edit, StageRequest, Unchanged
from modelkeep.domain.errors import RegistryError
from modelkeep.domain.events import Event, production_after
from modelkeep.domain.models import Head, TrashedVersion, Version
from modelkeep.domain.uploads import Upload
from modelkeep.domain.values import Stage
from tests.support.builders import LATER, operation, upload, version

MODEL = "fraud-detector"
ALIASES = ["champion", "canary"]
BATCH = 2

Subject = Version | Upload | TrashedVersion


class World:
    """A model as a table would hold it; it refuses moves whose conditions do not hold."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.events: list[Event] = []
        self.given: list[int] = []
        self.held: dict[int, int | None] = {}
        self.live: dict[int, Version] = {}
        self.uploads: dict[int, Upload] = {}
        self.trash: dict[int, TrashedVersion] = {}

    def place(self, subject: Subject) -> tuple[dict[int, Subject], int]:
        places: dict[type, dict[int, Subject]] = {
            Version: self.live,  # type: ignore[dict-item]
            Upload: self.uploads,  # type: ignore[dict-item]
            TrashedVersion: self.trash,  # type: ignore[dict-item]
        }
        number = subject.version.number if isinstance(subject, TrashedVersion) else subject.number
        return places[type(subject)], number

    def apply(self, decision: Decision[object]) -> None:
        if isinstance(decision, Unchanged):
            return
        for item_change in decision.item_changes:
            place, number = self.place(item_change.subject)
            assert (number in place) is not isinstance(item_change, CreateItem)
            if isinstance(item_change, DeleteItem):
                del place[number]
            else:
                place[number] = item_change.subject
        self.head = decision.head
        self.events += decision.events

    def take(self, action: str, number: int, other: int) -> None:
        """Take one step, as a service would; what is absent or refused changes nothing."""
        if action == "begin":
            self.begin()
        elif self.head and not self.head.deleted_at:
            self.change(self.head, action, number, other)
        elif self.head and action == "restore" and number in self.trash:
            self.apply(changes.restore(self.head, self.trash[number], operation()))
        elif self.head and action == "delete model" and self.head.deletion_in_progress:
            self.delete_model(self.head)

    def begin(self) -> None:
        if self.head and self.head.deletion_in_progress:
            return
        number = changes.next_version(self.head)
        self.given.append(number)
        self.apply(changes.begin(self.head, upload(number), operation()))

    def change(self, head: Head, action: str, number: int, other: int) -> None:
        if action == "complete" and number in self.uploads:
            self.apply(changes.complete(head, self.uploads[number], version(number), operation()))
        elif action == "abandon" and number in self.uploads:
            self.apply(changes.drop_upload(head, self.uploads[number], operation()))
        elif action == "restore" and number in self.trash:
            self.apply(changes.restore(head, self.trash[number], operation()))
        elif action == "purge" and number in self.trash:
            self.apply(changes.purge(head, self.trash[number], operation()))
        elif action == "roll back":
            self.roll_back(head)
        elif action == "remove alias":
            self.apply(changes.remove_alias(head, ALIASES[other % 2], operation()))
        elif action == "delete model":
            self.delete_model(head)
        elif number in self.live:
            self.change_version(head, action, self.live[number], other)

    def change_version(self, head: Head, action: str, target: Version, other: int) -> None:
        if action == "move":
            request = StageRequest(stage=list(Stage)[other % 3], only_newer=other > 3)
            self.apply(changes.move(head, target, self.holder(head, target.number), request, operation()))
        elif action == "set alias":
            self.apply(changes.set_alias(head, target, ALIASES[other % 2], operation()))
        elif action == "edit":
            self.apply(changes.edit_version(head, target, Edit(tags={"n": str(other)}), operation()))
        elif action == "delete":
            rest = max((number for number in self.live if number != target.number), default=None)
            self.apply(changes.delete_version(head, target, operation(), purge_after=LATER, new_latest=rest))

    def roll_back(self, head: Head) -> None:
        number = changes.roll_back_target(head)
        assert number != head.production_version
        self.apply(changes.roll_back(head, self.live[number], self.holder(head, number), operation()))

    def delete_model(self, head: Head) -> None:
        versions, uploads = list(self.live.values())[:BATCH], list(self.uploads.values())[:BATCH]
        more = len(self.live) + len(self.uploads) > len(versions) + len(uploads)
        self.apply(changes.delete_model(head, versions, uploads, operation(), purge_after=LATER, more=more))

    def holder(self, head: Head, number: int) -> Version | None:
        holder = head.production_version
        return None if holder is None or holder == number else self.live[holder]

    def check(self) -> None:
        if self.head is None:
            return
        head, numbers = self.head, set(self.live)
        assert [n for n, v in self.live.items() if v.stage is Stage.PRODUCTION] == (
            [] if head.production_version is None else [head.production_version]
        )
        assert [event.generation for event in self.events] == list(range(1, head.generation + 1))
        assert set(head.aliases.values()) <= numbers
        assert set(head.production_history) <= numbers
        assert all(before != after for before, after in pairwise((*head.production_history, head.production_version)))
        assert self.given == list(range(1, head.next_version))
        self.held[head.generation] = head.production_version
        for generation, holder in self.held.items():
            assert production_after(reversed(self.events[:generation])) == holder
        assert len(self.live) + len(self.uploads) + len(self.trash) == len({*self.live, *self.uploads, *self.trash})
        if head.deleted_at is None:
            assert head.latest_version == max(numbers, default=None)
            assert not head.deletion_in_progress
        else:
            assert head.deletion_in_progress or not (self.live or self.uploads)


ACTIONS = [
    *["begin", "complete", "move", "move", "set alias", "delete", "roll back", "restore", "delete model"],
    *["remove alias", "edit", "abandon", "purge"],
]
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 6), st.integers(0, 5)), max_size=60)
GROWN = [step for n in range(1, 5) for step in (("begin", n, 0), ("complete", n, 0))]


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_any_sequence_of_decisions_keeps_the_invariants(steps: Sequence[tuple[str, int, int]]) -> None:
    world = World()
    for action, number, other in [*GROWN, *steps]:
        try:
            world.take(action, number, other)
        except RegistryError:
            continue
        finally:
            world.check()
