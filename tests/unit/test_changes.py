"""The rules of the registry, one by one."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from modelkeep.domain import changes
from modelkeep.domain.artifacts import commit_of
from modelkeep.domain.changes import (
    Change,
    Copy,
    CreateItem,
    Decision,
    DeleteItem,
    Edit,
    RequireItem,
    StageRequest,
    Unchanged,
    UpdateItem,
)
from modelkeep.domain.errors import (
    AliasNotFoundError,
    AliasReservedError,
    MetadataTooLargeError,
    ModelBeingDeletedError,
    ModelNotEmptyError,
    NoEarlierProductionError,
    NotNewerError,
    ProductionChangedError,
    VersionInUseError,
)
from modelkeep.domain.events import EventType
from modelkeep.domain.models import PRODUCTION_HISTORY_LENGTH, Head, Version
from modelkeep.domain.values import UNSET, Stage, Unset
from tests.support.builders import BEFORE, LATER, MODEL, NOW, head, operation, trashed, upload, version

PROMOTE = StageRequest(stage=Stage.PRODUCTION)
DEMOTE = StageRequest(stage=Stage.STAGING)
ARCHIVE = StageRequest(stage=Stage.ARCHIVED)


def changed(decision: Decision[object]) -> Change[object]:
    assert isinstance(decision, Change)
    return decision


def stages(change: Change[object]) -> dict[int, Stage]:
    """The stage that each version has after the change's moves."""
    return {
        item_change.subject.number: item_change.subject.stage
        for item_change in change.item_changes
        if isinstance(item_change.subject, Version)
    }


def promoted(before: Head, number: int, **request: Any) -> Change[object]:
    holder = before.production_version
    other = version(holder, Stage.PRODUCTION) if holder not in {None, number} and holder else None
    promotion = replace(PROMOTE, **request)
    return changed(changes.move(before, version(number), other, promotion, operation()))


def rolled_back(before: Head) -> Change[object]:
    target = changes.roll_back_target(before)
    holder = before.production_version
    return changes.roll_back(
        before,
        version(target, Stage.ARCHIVED),
        version(holder, Stage.PRODUCTION) if holder else None,
        operation(),
    )


class TestCreatingAModel:
    @pytest.mark.parametrize("before", [None, head(deleted_at=BEFORE, tags={"old": "1"}, latest_version=None)])
    def test_a_new_or_revived_model_has_no_version_and_what_is_given(self, before: Head | None) -> None:
        change = changed(changes.create_model(MODEL, before, operation(), description="Fraud", tags={"team": "risk"}))
        created, is_new = cast("tuple[Head, bool]", change.result)
        assert is_new
        assert created == change.head
        assert (created.latest_version, created.production_version, created.production_history) == (None, None, ())
        assert (created.description, created.tags, created.deleted_at) == ("Fraud", {"team": "risk"}, None)
        assert created.next_version == (before.next_version if before else 1)
        assert [event.type for event in change.events] == [EventType.MODEL_CREATED]
        assert (change.item_changes, change.version) == ((), None)

    def test_a_model_that_is_there_stays_as_it_is(self) -> None:
        decision = changes.create_model(MODEL, head(), operation(), description="other", tags={"a": "b"})
        assert decision == Unchanged(result=(head(), False))

    def test_a_model_that_is_being_deleted_is_refused(self) -> None:
        with pytest.raises(ModelBeingDeletedError):
            changes.create_model(
                MODEL, head(deleted_at=BEFORE, deletion_in_progress=True), operation(), description="", tags={}
            )

    def test_a_new_model_has_at_most_64_tags(self) -> None:
        with pytest.raises(MetadataTooLargeError):
            changes.create_model(MODEL, None, operation(), description="", tags=dict.fromkeys(map(str, range(65)), ""))


class TestBeginning:
    def test_the_first_upload_makes_the_model_and_gets_number_one(self) -> None:
        begun = changes.begin(None, upload(changes.next_version(None)), operation())
        assert (begun.version, begun.head.next_version, begun.head.generation) == (1, 2, 1)
        assert begun.head.latest_version is None
        assert (begun.head.created_at, begun.head.updated_at) == (NOW, NOW)
        assert begun.item_changes == (CreateItem(upload(1)),)

    def test_an_upload_gets_the_next_number_and_an_event(self) -> None:
        begun = changes.begin(head(), upload(4), operation())
        assert (begun.version, begun.head.next_version, begun.head.latest_version) == (4, 5, 3)
        (event,) = begun.events
        assert (event.type, event.version, event.generation) == (EventType.UPLOAD_BEGUN, 4, 7)
        assert begun.head.generation == 7

    def test_a_deleted_model_begins_again_as_a_blank_one_but_numbers_go_on(self) -> None:
        gone = head(deleted_at=BEFORE, description="old", tags={"team": "risk"}, latest_version=None)
        begun = changes.begin(gone, upload(4), operation())
        assert begun.head.deleted_at is None
        assert (begun.head.description, begun.head.tags, begun.head.production_history) == ("", {}, ())
        assert (begun.head.next_version, begun.head.generation) == (5, 7)

    def test_completing_turns_the_upload_into_the_latest_version(self) -> None:
        done = changes.complete(head(next_version=5), upload(4), version(4), operation())
        assert done.item_changes == (DeleteItem(upload(4)), CreateItem(version(4)))
        assert done.head.latest_version == 4
        assert (done.events[0].type, done.events[0].target) == (EventType.VERSION_COMPLETED, "staging")
        assert done.events[0].commit == version(4).commit

    def test_an_older_upload_that_completes_late_is_not_the_latest(self) -> None:
        assert changes.complete(head(), upload(2), version(2), operation()).head.latest_version == 3

    @pytest.mark.parametrize("expired", [True, False])
    def test_the_number_of_a_dropped_upload_is_not_given_again(self, expired: bool) -> None:
        dropped = changes.drop_upload(head(next_version=5), upload(4), operation(), expired=expired)
        assert dropped.item_changes == (DeleteItem(upload(4)),)
        assert dropped.head.next_version == 5
        assert dropped.events[0].type == (EventType.UPLOAD_EXPIRED if expired else EventType.UPLOAD_ABANDONED)


class TestCopying:
    SOURCE = version(2, model="other", framework_inferred=True, tags={"a": "1"}, metrics={"f1": Decimal("0.9")})

    def copied(self, before: Head | None, source: Version, **request: Any) -> Change[Version]:
        wanted = Copy(model=source.model, number=source.number, **request)
        return changes.copy(
            MODEL, before, source, wanted, operation(), number=4, manifest=source.artifacts, s3_path="s3://bucket/key"
        )

    def test_it_is_the_latest_version_and_complete(self) -> None:
        change = self.copied(head(), self.SOURCE)
        made = change.result
        assert (change.version, change.head.next_version, change.head.latest_version) == (4, 5, 4)
        assert (made.number, made.stage, made.was_moved, made.artifacts) == (
            4,
            Stage.STAGING,
            False,
            self.SOURCE.artifacts,
        )
        assert made.commit == commit_of(MODEL, 4, self.SOURCE.artifacts)
        assert (made.tags, made.metrics, made.framework_inferred) == ({"a": "1"}, {"f1": Decimal("0.9")}, True)
        assert (made.source, made.created_at, made.created_by) == ("models:/other/2", NOW, "ci")
        (event,) = change.events
        assert (event.type, event.version, event.origin, event.target, event.commit) == (
            EventType.VERSION_COMPLETED,
            4,
            "other@2",
            "staging",
            made.commit,
        )

    def test_a_source_in_another_model_must_be_live_when_it_is_written(self) -> None:
        assert RequireItem(self.SOURCE) in self.copied(head(), self.SOURCE).item_changes

    def test_one_in_the_same_model_is_held_by_the_head(self) -> None:
        assert [type(each) for each in self.copied(head(), version(2)).item_changes] == [CreateItem]

    def test_what_is_given_wins(self) -> None:
        given = Copy(
            model="other",
            number=2,
            framework="onnx",
            metrics={"auc": Decimal(1)},
            tags={"a": "2"},
            description="",
            run_id="7",
            source="here",
        )
        source = replace(self.SOURCE, description="old", run_id="6", source="there")
        made = changes.copy(
            MODEL, None, source, given, operation(), number=1, manifest=source.artifacts, s3_path=""
        ).result
        assert (made.framework, made.framework_inferred, made.description) == ("onnx", False, "")
        assert (made.metrics, made.tags) == ({"f1": Decimal("0.9"), "auc": Decimal(1)}, {"a": "2"})
        assert (made.run_id, made.source) == ("7", "here")

    def test_a_deleted_model_begins_again_and_one_that_is_being_deleted_refuses(self) -> None:
        gone = head(deleted_at=BEFORE, description="old", latest_version=None)
        revived = self.copied(gone, self.SOURCE).head
        assert (revived.deleted_at, revived.description, revived.latest_version) == (None, "", 4)
        with pytest.raises(ModelBeingDeletedError):
            self.copied(replace(gone, deletion_in_progress=True), self.SOURCE)

    def test_it_has_at_most_64_tags(self) -> None:
        with pytest.raises(MetadataTooLargeError):
            self.copied(head(), self.SOURCE, tags=dict.fromkeys(map(str, range(64)), ""))


class TestPromoting:
    def test_the_first_promotion_names_the_version_in_the_head(self) -> None:
        change = promoted(head(), 2)
        assert change.head.production_version == 2
        assert change.head.production_history == ()
        assert stages(change) == {2: Stage.PRODUCTION}

    def test_it_archives_the_holder_in_the_same_change(self) -> None:
        change = promoted(head(production_version=1), 2)
        assert stages(change) == {2: Stage.PRODUCTION, 1: Stage.ARCHIVED}
        assert (change.head.production_version, change.head.production_history) == (2, (1,))
        assert all(isinstance(item_change, UpdateItem) for item_change in change.item_changes)

    def test_the_event_tells_from_to_whom_it_replaced_and_why(self) -> None:
        (event,) = promoted(head(production_version=1), 2, comment="better").events
        assert (event.type, event.version, event.replaced) == (EventType.STAGE_CHANGED, 2, 1)
        assert (event.origin, event.target, event.comment) == ("staging", "production", "better")
        assert (event.generation, event.actor, event.at) == (7, "ci", NOW)

    def test_both_versions_note_when_and_by_whom_their_stage_changed(self) -> None:
        for item_change in promoted(head(production_version=1), 2).item_changes:
            assert isinstance(item_change.subject, Version)
            assert (item_change.subject.stage_changed_at, item_change.subject.stage_changed_by) == (NOW, "ci")
            assert item_change.subject.created_at == BEFORE

    @pytest.mark.parametrize("holder", [None, 1])
    def test_a_fence_that_names_the_holder_lets_pass(self, holder: int | None) -> None:
        change = promoted(head(production_version=holder), 2, expected_production=holder)
        assert change.head.production_version == 2

    @pytest.mark.parametrize(("expected", "holder"), [(3, 1), (None, 1), (1, None)])
    @pytest.mark.parametrize("stage", [Stage.PRODUCTION, Stage.ARCHIVED])
    def test_a_fence_that_names_another_refuses_and_tells_the_holder(
        self, expected: int | None, holder: int | None, stage: Stage
    ) -> None:
        request = StageRequest(stage=stage, expected_production=expected)
        with pytest.raises(ProductionChangedError) as refusal:
            changes.move(head(production_version=holder), version(2), None, request, operation())
        assert (refusal.value.expected, refusal.value.holder) == (expected, holder)

    def test_only_newer_refuses_a_lower_number(self) -> None:
        with pytest.raises(NotNewerError) as refusal:
            promoted(head(production_version=3), 2, only_newer=True)
        assert (refusal.value.version, refusal.value.holder) == (2, 3)

    @pytest.mark.parametrize("holder", [None, 1])
    def test_only_newer_lets_a_higher_number_or_the_first_pass(self, holder: int | None) -> None:
        assert promoted(head(production_version=holder), 2, only_newer=True).head.production_version == 2

    def test_a_lower_number_passes_where_nothing_was_asked(self) -> None:
        assert promoted(head(production_version=3), 2).head.production_version == 2

    @pytest.mark.parametrize("stage", Stage)
    def test_the_stage_that_a_version_has_writes_nothing(self, stage: Stage) -> None:
        before = head(production_version=1 if stage is Stage.PRODUCTION else 2)
        moved = version(1, stage, stage_changed_at=NOW)
        decision = changes.move(before, moved, None, StageRequest(stage=stage), operation())
        assert decision == Unchanged(result=moved, version=1)

    def test_nothing_is_written_even_if_the_fence_would_refuse(self) -> None:
        request = replace(PROMOTE, expected_production=3)
        before = head(production_version=1)
        assert isinstance(changes.move(before, version(1, Stage.PRODUCTION), None, request, operation()), Unchanged)

    def test_the_result_shows_the_aliases_of_the_version(self) -> None:
        change = promoted(head(aliases={"b": 2, "a": 2, "c": 1}), 2)
        assert isinstance(change.result, Version)
        assert change.result.aliases == ("a", "b")


class TestWhatAnotherProgramWrote:
    def test_a_version_that_claims_production_can_be_promoted_for_real(self) -> None:
        stray, holder = version(2, Stage.PRODUCTION), version(1, Stage.PRODUCTION)
        change = changed(changes.move(head(production_version=1), stray, holder, PROMOTE, operation()))
        assert change.head.production_version == 2
        assert stages(change) == {2: Stage.PRODUCTION, 1: Stage.ARCHIVED}
        assert change.events[0].origin == "archived"

    def test_a_version_that_claims_production_can_be_archived_for_real(self) -> None:
        stray = version(2, Stage.PRODUCTION)
        change = changed(changes.move(head(production_version=1), stray, None, ARCHIVE, operation()))
        assert change.head.production_version == 1
        assert stages(change) == {2: Stage.ARCHIVED}

    def test_production_whose_item_disagrees_is_written_again(self) -> None:
        change = changed(
            changes.move(head(production_version=1), version(1, Stage.ARCHIVED), None, PROMOTE, operation())
        )
        assert (change.head.production_version, change.head.production_history) == (1, ())
        assert stages(change) == {1: Stage.PRODUCTION}

    def test_production_whose_item_disagrees_can_be_demoted(self) -> None:
        change = changed(
            changes.move(head(production_version=1), version(1, Stage.ARCHIVED), None, ARCHIVE, operation())
        )
        assert change.head.production_version is None


class TestDemoting:
    @pytest.mark.parametrize("request_", [DEMOTE, ARCHIVE], ids=["staging", "archived"])
    def test_moving_the_holder_away_leaves_the_model_without_production(self, request_: StageRequest) -> None:
        change = changed(
            changes.move(head(production_version=1), version(1, Stage.PRODUCTION), None, request_, operation())
        )
        assert change.head.production_version is None
        assert stages(change) == {1: request_.stage}
        assert change.head.production_history == (1,)
        assert change.events[0].replaced is None

    def test_moving_another_version_leaves_production_alone(self) -> None:
        change = changed(changes.move(head(production_version=1), version(2), None, ARCHIVE, operation()))
        assert (change.head.production_version, change.head.production_history) == (1, ())

    def test_a_rollback_after_it_gives_production_back_to_the_demoted_version(self) -> None:
        demoted = head(production_history=(1, 2))
        back = rolled_back(demoted)
        assert (back.head.production_version, back.head.production_history) == (2, (1,))
        assert stages(back) == {2: Stage.PRODUCTION}

    def test_promoting_it_again_leaves_no_trace_of_it_in_the_history(self) -> None:
        change = promoted(head(production_history=(1, 2)), 2)
        assert (change.head.production_version, change.head.production_history) == (2, (1,))


class TestTheFirstMoveToStaging:
    def test_it_is_recorded(self) -> None:
        assert not version(2).was_moved
        change = changed(changes.move(head(production_version=1), version(2), None, DEMOTE, operation()))
        assert stages(change) == {2: Stage.STAGING}
        moved = cast("Version", change.result)
        assert moved.was_moved
        assert (moved.stage_changed_at, moved.stage_changed_by) == (NOW, "ci")
        assert change.head == replace(head(production_version=1), generation=7, updated_at=NOW)

    def test_another_writes_nothing(self) -> None:
        moved = replace(version(2), stage_changed_at=NOW)
        assert isinstance(changes.move(head(), moved, None, DEMOTE, operation()), Unchanged)

    @pytest.mark.parametrize("stage", [Stage.PRODUCTION, Stage.ARCHIVED])
    def test_of_a_version_that_another_program_put_into_its_stage_nothing_is_recorded(self, stage: Stage) -> None:
        before = head(production_version=2 if stage is Stage.PRODUCTION else None)
        decision = changes.move(before, version(2, stage), None, StageRequest(stage=stage), operation())
        assert isinstance(decision, Unchanged)


class TestRollingBack:
    def test_it_gives_production_to_the_version_before_and_archives_the_holder(self) -> None:
        back = rolled_back(head(production_version=2, production_history=(1,)))
        assert stages(back) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
        assert (back.head.production_version, back.head.production_history) == (1, ())
        (event,) = back.events
        assert (event.type, event.version, event.replaced) == (EventType.ROLLED_BACK, 1, 2)
        assert (event.origin, event.target) == ("archived", "production")

    def test_twice_walks_back_two_steps_and_a_third_time_is_refused(self) -> None:
        once = rolled_back(head(production_version=3, production_history=(1, 2)))
        twice = rolled_back(once.head)
        assert (once.head.production_version, twice.head.production_version) == (2, 1)
        with pytest.raises(NoEarlierProductionError):
            changes.roll_back_target(twice.head)

    def test_a_promotion_after_it_can_be_rolled_back_again(self) -> None:
        back = rolled_back(head(production_version=2, production_history=(1,)))
        again = rolled_back(promoted(back.head, 3).head)
        assert (again.head.production_version, again.head.production_history) == (1, ())

    @pytest.mark.parametrize("expected", [1, None])
    def test_its_fence_refuses_before_anything_else(self, expected: int | None) -> None:
        with pytest.raises(ProductionChangedError):
            changes.roll_back_target(head(production_version=2), expected_production=expected)

    @pytest.mark.parametrize("expected", [2, UNSET])
    def test_its_fence_lets_pass(self, expected: int | Unset) -> None:
        before = head(production_version=2, production_history=(1,))
        assert changes.roll_back_target(before, expected_production=expected) == 1

    def test_the_history_keeps_the_last_twenty(self) -> None:
        full = tuple(range(1, PRODUCTION_HISTORY_LENGTH + 1))
        change = promoted(head(production_version=98, production_history=full), 99)
        assert change.head.production_history == (*full[1:], 98)


class TestAliases:
    def test_one_is_pointed_and_recorded(self) -> None:
        change = changed(changes.set_alias(head(), version(2), "champion", operation(), comment="wins"))
        assert change.head.aliases == {"champion": 2}
        assert change.item_changes == ()
        (event,) = change.events
        assert (event.type, event.alias, event.origin, event.target) == (EventType.ALIAS_SET, "champion", None, "2")
        assert (event.version, event.comment) == (2, "wins")

    def test_one_is_the_same_in_whatever_case_and_written_as_last_set(self) -> None:
        before = head(aliases={"Champion": 1, "canary": 3})
        assert [before.alias_like(alias) for alias in ("Champion", "champion", "CHAMPION", "champ")] == [
            *["Champion"] * 3,
            None,
        ]
        change = changed(changes.set_alias(before, version(2), "champIon", operation()))
        assert change.head.aliases == {"champIon": 2, "canary": 3}
        assert (change.events[0].alias, change.events[0].origin, change.events[0].target) == ("champIon", "1", "2")
        respelled = changed(changes.set_alias(change.head, version(2), "CHAMPION", operation()))
        assert respelled.head.aliases == {"CHAMPION": 2, "canary": 3}
        removed = changes.remove_alias(respelled.head, "champion", operation())
        assert removed.head.aliases == {"canary": 3}
        assert (removed.events[0].alias, removed.events[0].origin) == ("CHAMPION", "2")

    def test_one_is_moved_and_the_event_tells_from_where(self) -> None:
        change = changed(changes.set_alias(head(aliases={"champion": 1}), version(2), "champion", operation()))
        assert change.head.aliases == {"champion": 2}
        assert (change.events[0].origin, change.events[0].target) == ("1", "2")

    def test_pointing_it_where_it_points_writes_nothing(self) -> None:
        decision = changes.set_alias(head(aliases={"champion": 2}), version(2), "champion", operation())
        assert decision == Unchanged(result=version(2, aliases=("champion",)), version=2)

    @pytest.mark.parametrize("alias", ["latest", "production", "staging", "archived", "none", "main", "v7", "a" * 40])
    def test_a_name_that_means_something_else_is_reserved(self, alias: str) -> None:
        with pytest.raises(AliasReservedError):
            changes.set_alias(head(), version(2), alias, operation())

    def test_there_are_at_most_a_hundred(self) -> None:
        full = head(aliases={f"alias-{n}": 1 for n in range(changes.MAX_ALIASES)})
        with pytest.raises(MetadataTooLargeError):
            changes.set_alias(full, version(2), "one-more", operation())
        assert changed(changes.set_alias(full, version(2), "alias-1", operation())).head.aliases["alias-1"] == 2

    def test_one_is_removed_and_recorded(self) -> None:
        change = changes.remove_alias(head(aliases={"champion": 2, "canary": 3}), "champion", operation())
        assert change.head.aliases == {"canary": 3}
        (event,) = change.events
        assert (event.type, event.alias, event.origin, event.version) == (EventType.ALIAS_REMOVED, "champion", "2", 2)

    def test_one_that_is_not_there_cannot_be_removed(self) -> None:
        with pytest.raises(AliasNotFoundError):
            changes.remove_alias(head(), "champion", operation())


class TestEditing:
    def test_metrics_and_tags_are_merged_and_null_removes(self) -> None:
        before = version(metrics={"f1": Decimal("0.5"), "auc": Decimal(1)}, tags={"team": "risk", "run": "7"})
        edit = Edit(metrics={"f1": Decimal("0.6"), "auc": None}, tags={"run": None, "env": "eu"}, description="x")
        (item_change,) = changed(changes.edit_version(head(), before, edit, operation())).item_changes
        assert item_change == UpdateItem(
            replace(before, metrics={"f1": Decimal("0.6")}, tags={"team": "risk", "env": "eu"}, description="x")
        )

    def test_unset_fields_stay(self) -> None:
        before = version(metrics={"f1": Decimal(1)}, tags={"team": "risk"}, description="kept")
        (item_change,) = changed(changes.edit_version(head(), before, Edit(tags={"a": "b"}), operation())).item_changes
        assert isinstance(item_change.subject, Version)
        assert (item_change.subject.metrics, item_change.subject.description) == (before.metrics, "kept")

    @pytest.mark.parametrize("edit", [Edit(), Edit(tags={"absent": None}), Edit(description="", tags={"a": "b"})])
    def test_an_edit_that_changes_nothing_writes_nothing(self, edit: Edit) -> None:
        before = version(tags={"a": "b"})
        assert isinstance(changes.edit_version(head(), before, edit, operation()), Unchanged)
        assert isinstance(changes.edit_model(head(tags={"a": "b"}), edit, operation()), Unchanged)

    @pytest.mark.parametrize(("count", "fits"), [(200, True), (201, False)])
    def test_a_version_has_at_most_two_hundred_metrics(self, count: int, fits: bool) -> None:
        edit = Edit(metrics={f"m{n}": Decimal(n) for n in range(count)})
        if fits:
            changed(changes.edit_version(head(), version(), edit, operation()))
        else:
            with pytest.raises(MetadataTooLargeError, match="metrics"):
                changes.edit_version(head(), version(), edit, operation())

    def test_a_version_and_a_model_have_at_most_sixty_four_tags(self) -> None:
        edit = Edit(tags={f"t{n}": "x" for n in range(65)})
        with pytest.raises(MetadataTooLargeError, match="tags"):
            changes.edit_version(head(), version(), edit, operation())
        with pytest.raises(MetadataTooLargeError, match="tags"):
            changes.edit_model(head(), edit, operation())

    def test_a_model_is_edited_in_its_head_alone(self) -> None:
        change = changed(changes.edit_model(head(), Edit(description="fraud", tags={"team": "risk"}), operation()))
        assert (change.head.description, change.head.tags, change.item_changes) == ("fraud", {"team": "risk"}, ())
        assert change.events[0].type is EventType.MODEL_EDITED


class TestDeleting:
    def test_a_version_goes_to_the_trash_with_its_stage(self) -> None:
        gone = version(2, Stage.ARCHIVED)
        change = changes.delete_version(head(), gone, operation(), purge_after=LATER, new_latest=3)
        removed, added = change.item_changes
        assert removed == DeleteItem(gone)
        assert isinstance(added, CreateItem)
        assert added.subject == replace(trashed(2, Stage.ARCHIVED), deleted_at=NOW)
        assert (change.events[0].type, change.events[0].origin) == (EventType.VERSION_DELETED, "archived")

    def test_the_latest_that_goes_is_followed_by_the_newest_that_remains(self) -> None:
        change = changes.delete_version(head(), version(3), operation(), purge_after=LATER, new_latest=2)
        assert (change.head.latest_version, change.head.next_version) == (2, 4)

    def test_the_production_version_is_refused(self) -> None:
        with pytest.raises(VersionInUseError):
            changes.delete_version(
                head(production_version=2), version(2, Stage.PRODUCTION), operation(), purge_after=LATER, new_latest=3
            )

    def test_a_version_with_an_alias_is_refused_with_its_aliases(self) -> None:
        with pytest.raises(VersionInUseError) as refusal:
            changes.delete_version(
                head(aliases={"b": 2, "a": 2, "c": 3}), version(2), operation(), purge_after=LATER, new_latest=3
            )
        assert refusal.value.aliases == ("a", "b")

    def test_a_deleted_version_leaves_the_production_history(self) -> None:
        before = head(production_version=3, production_history=(1, 2, 1))
        change = changes.delete_version(before, version(1), operation(), purge_after=LATER, new_latest=3)
        assert change.head.production_history == (2,)

    def test_two_terms_of_one_holder_become_one_when_the_version_between_goes(self) -> None:
        before = head(production_version=3, production_history=(1, 2, 1))
        change = changes.delete_version(before, version(2), operation(), purge_after=LATER, new_latest=3)
        assert change.head.production_history == (1,)

    def test_a_rollback_never_leads_to_the_holder_itself(self) -> None:
        before = head(production_version=1, production_history=(1, 2))
        change = changes.delete_version(before, version(2), operation(), purge_after=LATER, new_latest=3)
        with pytest.raises(NoEarlierProductionError):
            changes.roll_back_target(change.head)

    def test_a_restored_version_comes_back_in_its_stage(self) -> None:
        change = changes.restore(head(latest_version=2), trashed(3, Stage.ARCHIVED), operation())
        assert change.item_changes == (DeleteItem(trashed(3, Stage.ARCHIVED)), CreateItem(version(3, Stage.ARCHIVED)))
        assert change.head.latest_version == 3
        assert change.events[0].type is EventType.VERSION_RESTORED

    def test_a_restored_version_brings_a_deleted_model_back(self) -> None:
        gone = head(deleted_at=BEFORE, latest_version=None)
        change = changes.restore(gone, trashed(2), operation())
        assert (change.head.deleted_at, change.head.latest_version) == (None, 2)

    def test_nothing_is_restored_while_the_model_is_still_being_emptied(self) -> None:
        with pytest.raises(ModelBeingDeletedError):
            changes.restore(head(deleted_at=BEFORE, deletion_in_progress=True), trashed(2), operation())

    def test_a_purged_version_leaves_its_number_spent(self) -> None:
        change = changes.purge(head(), trashed(2), operation())
        assert (change.item_changes, change.head.next_version) == ((DeleteItem(trashed(2)),), 4)
        assert change.events[0].type is EventType.VERSION_PURGED


class TestDeletingAModel:
    @pytest.mark.parametrize("uses", [{"production_version": 1}, {"aliases": {"champion": 1}}])
    def test_one_that_is_used_is_refused(self, uses: dict[str, object]) -> None:
        with pytest.raises(ModelNotEmptyError):
            changes.delete_model(head(**uses), [version(1)], [], operation(), purge_after=LATER, more=False)

    def test_an_empty_one_is_gone_with_one_event(self) -> None:
        change = changes.delete_model(head(latest_version=None), [], [], operation(), purge_after=LATER, more=False)
        assert [event.type for event in change.events] == [EventType.MODEL_DELETED]
        assert (change.head.deleted_at, change.head.deletion_in_progress, change.head.generation) == (NOW, False, 7)

    def test_the_first_step_deletes_it_and_numbers_the_events_of_all_that_goes_without_a_gap(self) -> None:
        versions, uploads = [version(3), version(2)], [upload(4)]
        change = changes.delete_model(
            head(production_history=(2, 3)), versions, uploads, operation(), purge_after=LATER, more=True
        )
        assert [(event.generation, event.type, event.version) for event in change.events] == [
            (7, EventType.MODEL_DELETED, None),
            (8, EventType.VERSION_DELETED, 3),
            (9, EventType.VERSION_DELETED, 2),
            (10, EventType.UPLOAD_ABANDONED, 4),
        ]
        assert change.head.generation == 10
        assert (change.head.latest_version, change.head.production_history) == (None, ())
        assert change.result == ((upload(4),), True)
        assert len(change.item_changes) == 5

    def test_a_later_step_goes_on_under_the_first_ones_time(self) -> None:
        before = head(deleted_at=BEFORE, deletion_in_progress=True, generation=10)
        change = changes.delete_model(before, [version(1)], [], operation(), purge_after=LATER, more=False)
        assert [(event.generation, event.type) for event in change.events] == [(11, EventType.VERSION_DELETED)]
        assert (change.head.deleted_at, change.head.deletion_in_progress) == (BEFORE, False)

    def test_a_step_fits_into_one_transaction(self) -> None:
        most = [version(number) for number in range(1, changes.MAX_SUBJECTS + 1)]
        change = changes.delete_model(head(), most, [], operation(), purge_after=LATER, more=True)
        assert 1 + len(change.item_changes) + len(change.events) + 1 <= 100


class TestAdopting:
    def test_the_head_is_built_from_the_versions(self) -> None:
        found = [version(7), version(2, Stage.PRODUCTION, created_at=NOW), version(5, Stage.ARCHIVED)]
        change = changes.adopt(MODEL, found, operation(), take=list)
        assert (change.head.next_version, change.head.latest_version, change.head.production_version) == (8, 7, 2)
        assert (change.head.created_at, change.head.generation, change.item_changes) == (BEFORE, 1, ())
        (event,) = change.events
        assert (event.type, event.version, event.target) == (EventType.MODEL_ADOPTED, 2, "production")

    def test_one_without_production_has_none(self) -> None:
        change = changes.adopt(MODEL, [version(1)], operation(), take=list)
        assert change.head.production_version is None
        assert (change.events[0].version, change.events[0].target) == (None, None)

    def test_of_several_that_claim_production_the_highest_keeps_it_and_the_others_are_archived(self) -> None:
        claims = [version(number, Stage.PRODUCTION) for number in (1, 2, 3)]
        change = changes.adopt(MODEL, claims, operation(), take=list)
        assert change.head.production_version == 3
        assert stages(change) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED}

    def test_more_claims_than_one_step_can_move_are_left_for_the_next(self) -> None:
        claims = [version(number, Stage.PRODUCTION) for number in range(1, 101)]
        change = changes.adopt(MODEL, claims, operation(), take=lambda strays: strays[:30])
        assert (change.head.production_version, len(change.item_changes)) == (100, 30)

    def test_strays_are_archived_with_an_event_each(self) -> None:
        strays = [version(number, Stage.PRODUCTION) for number in (1, 2)]
        change = changes.archive_strays(head(production_version=3), strays, operation())
        assert [(event.generation, event.version, event.target) for event in change.events] == [
            (7, 1, "archived"),
            (8, 2, "archived"),
        ]
        assert (change.head.generation, change.head.production_version) == (8, 3)
        assert stages(change) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED}

    def test_strays_are_those_that_claim_production_against_the_head(self) -> None:
        found = [version(1, Stage.PRODUCTION), version(2), version(3, Stage.PRODUCTION)]
        assert changes.conflicting_production_of(head(production_version=3), found) == [found[0]]

    @pytest.mark.parametrize("found", [[], [3, 1]])
    def test_a_head_that_knows_them_all_needs_no_catching_up(self, found: list[int]) -> None:
        decision = changes.catch_up(head(), [version(number) for number in found], operation())
        assert decision == Unchanged(result=head())

    def test_a_head_learns_of_numbers_that_were_written_behind_its_back(self) -> None:
        change = changed(changes.catch_up(head(), [version(9), version(4)], operation()))
        assert (change.head.next_version, change.head.latest_version, change.head.generation) == (10, 9, 7)
        assert (change.events[0].type, change.events[0].version) == (EventType.MODEL_ADOPTED, 9)

    def test_a_verified_version_is_written_once(self) -> None:
        before, verified = version(), version(description="now with a digest")
        change = changed(changes.verify(head(), before, verified, operation()))
        assert (change.item_changes, change.events[0].type) == ((UpdateItem(verified),), EventType.VERSION_VERIFIED)
        assert isinstance(changes.verify(head(), verified, verified, operation()), Unchanged)
