"""What a history says about production."""

import pytest

from modelkeep.domain.events import Event, EventType, production_after, promotes
from tests.support.builders import NOW

Row = tuple[str, int | None, str | None, str | None]


def _event(generation: int, row: Row) -> Event:
    kind, version, origin, target = row
    return Event(
        model="m",
        generation=generation,
        type=EventType(kind) if kind in {*EventType} else kind,
        operation_id="o",
        actor="a",
        at=NOW,
        request_id="r",
        version=version,
        origin=origin,
        target=target,
    )


def _promoted(version: int) -> Row:
    return ("stage_changed", version, "staging", "production")


ADOPTED: Row = ("model_adopted", 4, None, "production")


@pytest.mark.parametrize(
    ("rows", "holder"),
    [
        ([], None),
        ([("upload_begun", 1, None, None), ("version_completed", 1, None, "staging")], None),
        ([_promoted(1)], 1),
        ([_promoted(1), ("alias_set", 2, None, "2"), ("version_edited", 2, None, None)], 1),
        ([_promoted(1), _promoted(2)], 2),
        ([_promoted(1), _promoted(2), ("rolled_back", 1, "archived", "production")], 1),
        ([_promoted(1), ("stage_changed", 1, "production", "staging")], None),
        ([_promoted(1), ("stage_changed", 1, "production", "archived")], None),
        ([_promoted(1), ("stage_changed", 1, "production", "archived"), _promoted(1)], 1),
        ([_promoted(1), _promoted(2), ("stage_changed", 1, "archived", "staging")], 2),
        ([_promoted(2), ("stage_changed", 1, "production", "archived")], 2),
        ([_promoted(2), ("version_deleted", 1, "archived", None)], 2),
        ([_promoted(2), ("version_deleted", 2, "archived", None)], None),
        ([_promoted(2), ("model_deleted", None, None, None), ("version_restored", 2, None, "production")], None),
        ([ADOPTED], 4),
        ([ADOPTED, ("model_adopted", 9, None, None)], 4),
        ([("model_adopted", None, None, None)], None),
        ([_promoted(1), ("blessed", 1, None, "production")], 1),
    ],
)  # fmt: skip
def test_the_holder_is_the_version_that_was_promoted_last_and_not_moved_since(
    rows: list[Row], holder: int | None
) -> None:
    events = [_event(generation, row) for generation, row in enumerate(rows, 1)]
    assert production_after(reversed(events)) == holder
    last = max((index for index, event in enumerate(events) if promotes(event)), default=0)
    assert production_after(reversed(events[last:])) == holder
