"""Mutation testing: every bug that is planted in the project is noticed by the test named for it.

A mutant is a patch beside this file, whose first line says what it breaks. One that no longer applies is adapted to
what the code reads now; it is dropped only with the promise that it breaks.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.mutants import MutantRunner, Patch, mutant_runner

HERE: Final = Path(__file__).parent

LEDGER: Final = "tests/contract/test_ledger.py"
RACES: Final = "tests/contract/test_races.py"
S3: Final = "tests/contract/test_objects_s3.py"
RESOLUTION: Final = "tests/contract/reading/test_resolution.py"
STALE_IF_ERROR: Final = "tests/contract/reading/test_stale_if_error.py"
STALE_ANSWERS: Final = "tests/api/test_stale_if_error.py"
SINGLE_FLIGHT: Final = "tests/unit/test_single_flight.py"
PRESIGNED_URLS: Final = "tests/unit/test_presigned_url_cache.py"
PRESIGNING: Final = "tests/unit/test_presigning.py"
ITEMS: Final = "tests/unit/test_items.py"
UPLOADS: Final = "tests/api/test_uploads.py"
STAGES: Final = "tests/api/test_stages.py"
DOWNLOADS: Final = "tests/api/test_downloads.py"
LOGGING: Final = "tests/api/test_logging.py"
LEFT_OUT: Final = "tests/client/test_left_out.py"
OVERWRITTEN: Final = "tests/client/test_nothing_overwritten.py"
COMMITS: Final = "tests/unit/test_commits.py"
REAL_FOLDERS: Final = "tests/client/test_real_folders.py"
LINKS: Final = "tests/client/test_links.py"
PATHS: Final = "tests/unit/test_artifact_paths.py"
NEWER: Final = "tests/contract/test_newer_releases.py"
REJECTED: Final = "tests/contract/test_rejected_writes.py"
CHECK: Final = "tests/e2e/test_check.py"
CHECK_SETTINGS: Final = "tests/e2e/test_check_settings.py"
RESTORED: Final = "tests/e2e/test_restored_tables.py"
LOST_PARTS: Final = "tests/api/test_lost_parts.py"
ALLOCATION: Final = "tests/unit/test_allocation.py"
DENY: Final = "tests/api/test_default_deny.py"
OWNERS: Final = "tests/e2e/test_owners.py"
REUSE: Final = "tests/e2e/test_reuse.py"
COPIES: Final = "tests/e2e/test_copies.py"
EXCHANGE: Final = "tests/api/test_exchange.py"
FOLDING: Final = "tests/contract/test_folding_disks.py"
AT_REST: Final = "tests/contract/test_data_at_rest.py"
CACHE: Final = "tests/client/test_distrusted_cache.py"
RATE_LIMITS: Final = "tests/api/test_rate_limits.py"
HEAD: Final = "tests/api/test_head.py"
ACCESS: Final = "tests/api/test_access_rules.py"
BROWSER_GUARD: Final = "tests/api/test_browser_guard.py"
DOCTOR: Final = "tests/client/test_doctor.py"
TARGETS: Final = "tests/client/test_download_targets.py"
MARKS: Final = "tests/client/test_marks.py"

NOTICED_BY: Final[Mapping[str, Sequence[str]]] = {
    "counter_by_add": [f"{RACES}::test_a_registration_that_is_decided_again_spends_one_number[local]"],
    "head_without_guard": [f"{LEDGER}::TestBesideOthers::test_an_edit_of_a_head_that_moved_is_decided_again[local]"],
    "lost_reply_not_looked_for": [
        f"{LEDGER}::TestABadNetwork::test_a_lost_message_is_found_out[local-None-Fault.REPLY_LOST]",
    ],
    "git_registered": [
        f"{LEFT_OUT}::test_what_belongs_to_no_model_is_left_out_and_said_in_one_line",
    ],
    "own_file_overwritten": [f"{OVERWRITTEN}::test_a_file_of_something_else_is_refused_and_left_alone[dev]"],
    "link_followed_outside": [f"{LINKS}::test_all_other_links_are_refused_in_one_sentence[False]"],
    "folders_beside_the_commit": [f"{COMMITS}::test_other_contents_have_another_commit"],
    "unknown_files_as_the_same": [f"{COMMITS}::test_files_are_the_same_by_path_and_digest_and_unknown_ones_never"],
    "cached_file_made_executable": [
        f"{REAL_FOLDERS}::test_a_program_has_its_mode_with_and_without_a_cache[dev-links-0o22]",
    ],
    "paths_of_two_forms": [
        f"{PATHS}::test_paths_that_cannot_lie_in_one_folder_are_named_as_they_are_written[paths7]",
    ],
    "unknown_dropped": [f"{NEWER}::test_a_change_keeps_what_a_newer_release_wrote[local-promote]"],
    "newer_format_written": [f"{NEWER}::test_a_model_in_a_newer_format_is_not_written[local-promote]"],
    "rejected_as_unknown": [f"{REJECTED}::test_the_service_is_told_that_a_rejected_write_did_not_happen[local]"],
    "version_that_expires": [f"{ITEMS}::test_nothing_but_an_outcome_ever_expires"],
    "commit_not_compared": [f"{CHECK}::test_a_version_that_is_not_the_one_completed_is_found[local-live]"],
    "missing_checksum_as_agreement": [f"{CHECK}::test_a_checksum_that_is_gone_is_found[local]"],
    "strays_beside_versions_unseen": [f"{CHECK}::test_objects_that_are_not_the_registrys_are_found_and_counted[local]"],
    "unseen_setting_passes": [f"{CHECK_SETTINGS}::test_what_could_not_be_checked_is_no_fault"],
    "blind_rollback": [f"{STAGES}::test_a_rollback_needs_a_key_or_a_precondition[local]"],
    "complete_unseen": [f"{UPLOADS}::test_an_incomplete_upload_is_refused_with_the_list_of_what_is_missing[local]"],
    "complete_unchecked": [
        f"{UPLOADS}::test_bytes_that_came_another_way_do_not_pass[local-WEIGHTS-checksum_mismatch-fields0]",
    ],
    "complete_over_another": [f"{UPLOADS}::test_completing_never_writes_over_what_another_program_put_there[local]"],
    "taken_number_given": [f"{ALLOCATION}::test_a_number_with_free_keys_is_found_in_few_requests[taken2-8-9-2]"],
    "parts_unchecked": [f"{RESTORED}::test_an_object_of_other_parts_does_not_pass[ministack]"],
    "older_object_taken": [f"{RESTORED}::test_an_object_from_before_the_upload_does_not_pass[local-False]"],
    "conflict_not_reopened": [
        f"{LOST_PARTS}::test_after_a_conflict_the_parts_are_sent_again_to_another_multipart_upload"
    ],
    "sigv2": [f"{PRESIGNING}::test_a_url_is_the_one_of_the_documentation"],
    "download_not_pinned": [f"{PRESIGNING}::test_the_store_signs_what_its_client_would"],
    "download_asked_unpinned": [f"{PRESIGNED_URLS}::test_a_url_is_for_the_version_of_the_object_that_was_confirmed"],
    "upload_over_what_is_there": [f"{S3}::test_a_put_url_signs_bytes_length_type_and_condition"],
    "logged_signed_url": [f"{LOGGING}::test_no_line_of_a_whole_journey_holds_a_secret[local]"],
    "undecided_route": [f"{DENY}::test_a_route_that_decides_nothing_answers_nothing[forgetful-None]"],
    "open_by_prefix": [f"{DENY}::test_a_route_that_decides_nothing_answers_nothing[forgetful-None]"],
    "owner_ignored": [f"{OWNERS}::test_a_sweep_takes_nothing_of_a_neighbour"],
    "borrowed_bytes_purged": [f"{REUSE}::test_bytes_live_as_long_as_a_version_names_them"],
    "copied_from_the_trash": [
        f"{COPIES}::test_a_source_that_is_deleted_before_the_copy_is_written_is_not_copied[local]"
    ],
    "copied_bytes_purged": [f"{COPIES}::test_a_copy_outlives_its_source_and_the_model_of_it[local]"],
    "new_model_not_looked_for": [f"{COPIES}::test_a_model_that_is_made_while_a_sweep_runs_keeps_what_it_copied[local]"],
    "moving_references_trusted": [f"{REUSE}::test_what_moves_while_references_are_read_is_left_for_the_next_sweep"],
    "copy_taken_for_the_owner": [f"{OWNERS}::test_a_copy_of_the_table_is_another_table"],
    "init_takes_over": [f"{OWNERS}::test_of_two_that_are_set_up_at_once_one_owns_the_bucket"],
    "marker_not_seen": [
        f"{CHECK}::test_bytes_that_only_who_names_their_version_finds_are_found[live-ministack]",
    ],
    "mark_without_its_time": [f"{TARGETS}::test_any_difference_from_the_version_is_noticed[altered]"],
    "linked_while_written": [f"{MARKS}::test_a_file_that_is_held_open_for_writing_is_copied"],
    "deleted_by_key": [f"{S3}::test_what_is_deleted_leaves_no_bytes_and_no_marker"],
    "pinned_versions_expire": [f"{S3}::test_no_lifecycle_rule_drops_what_a_version_may_pin"],
    "deny_dropped_on_clash": [
        f"{EXCHANGE}::test_what_the_table_denies_stays_denied_whatever_the_file_allows[local-same id]",
    ],
    "foreign_host_answered": [f"{BROWSER_GUARD}::test_a_foreign_host_is_answered_nothing[local-attacker.example]"],
    "cross_site_change": [
        f"{BROWSER_GUARD}::test_a_page_of_another_origin_changes_nothing[local-{{'origin': 'null'}}]",
    ],
    "good_token_refused": [f"{RATE_LIMITS}::test_good_tokens_pass_whatever_fails_at_their_address[local]"],
    "body_after_head": [f"{HEAD}::test_head_is_get_without_a_body[local-/v1/models]"],
    "doctor_prints_signed_url": [f"{DOCTOR}::test_storage_that_is_not_reached"],
    "token_for_nobody": [f"{BROWSER_GUARD}::test_a_caller_that_nobody_asked_gets_no_token[local]"],
    "rules_by_a_part": [f"{ACCESS}::test_who_lacks_anything_sets_no_rules[denied-local]"],
    "production_by_index": [f"{RESOLUTION}::test_production_is_what_was_promoted_last_however_the_indexes_lag[local]"],
    "refs_by_an_old_head": [f"{RESOLUTION}::test_what_another_process_acknowledged_is_in_the_next_answer[local]"],
    "joined_under_way": [f"{SINGLE_FLIGHT}::test_a_call_during_a_read_gets_the_next_read"],
    "urls_shared_to_the_end": [f"{PRESIGNED_URLS}::test_a_url_has_at_least_half_its_life_left"],
    "stale_without_saying_so": [f"{STALE_ANSWERS}::test_every_format_and_redirect_is_served_stale[local]"],
    "stale_for_ever": [f"{STALE_IF_ERROR}::test_an_answer_is_served_until_it_is_too_old_and_has_its_age[local]"],
    "cache_link_followed": [f"{CACHE}::test_a_link_is_not_read_although_it_leads_to_the_right_bytes"],
    "cache_verified_before_it_is_in_place": [f"{CACHE}::test_a_file_that_changes_between_check_and_copy_is_not_taken"],
    "cache_writable_by_others": [f"{CACHE}::test_a_folder_that_others_may_write_to_is_passed_by[511]"],
    "objects_by_umask": [f"{AT_REST}::test_everything_in_a_data_folder_is_its_owners_alone[0]"],
    "models_share_a_folder": [f"{FOLDING}::test_two_models_share_no_file_where_one_name_leads_to_the_other"],
    "not_modified_for_another": [f"{DOWNLOADS}::test_a_version_that_is_known_already_is_not_sent_again[local]"],
}


@pytest.fixture(scope="module")
def runner() -> Iterator[MutantRunner]:
    with mutant_runner() as runner:
        yield runner


def patch_of(mutant: str) -> Patch:
    return Patch.read(HERE / f"{mutant}.patch")


def test_every_patch_is_tried() -> None:
    assert {path.stem for path in HERE.glob("*.patch")} == set(NOTICED_BY)


@pytest.mark.timeout(300)  # above that of the run inside, which would else be answered to the next row
@pytest.mark.parametrize("mutant", NOTICED_BY)
def test_a_mutant_is_noticed(runner: MutantRunner, tmp_path: Path, mutant: str) -> None:
    """By an assertion of the very test; that the test passes on the project itself, the suite around says."""
    patch = patch_of(mutant)
    assert patch.sentence.endswith(".")
    outcome = runner.run(patch.apply(), NOTICED_BY[mutant], tmp_path)
    assert outcome.status == pytest.ExitCode.TESTS_FAILED, outcome.printed
    ((test, message),) = outcome.failures.items()
    assert _name(test) in {_name(expected) for expected in NOTICED_BY[mutant]}
    assert message.startswith(("assert", "AssertionError", "Failed: DID NOT RAISE")), message


def _name(test: str) -> str:
    return test.partition("[")[0].rpartition("::")[2]
