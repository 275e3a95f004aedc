"""What a table leaves out and cuts where there is no room, and what it never does."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from modelkeep.cli.tables import lists
from modelkeep.cli.tables.comparison import comparison
from modelkeep.cli.tables.layout import Free, Screen, Words, cut
from modelkeep.cli.tables.versions import versions
from modelkeep.domain.values import Stage
from modelkeep.schemas.comparisons import ComparisonResponse
from modelkeep.schemas.events import EventResponse
from modelkeep.schemas.models import ModelResponse
from modelkeep.schemas.uploads import UploadProgressResponse
from modelkeep.schemas.versions import VersionResponse

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LONG = "github:acme/fraud-detector:ref:refs/heads/main"
METRIC = "validation/macro_f1_over_the_holdout_of_march"


def lines(shown: RenderableType) -> list[str]:
    """What is printed on a terminal of 80 columns, whatever the width of the table."""
    screen = Console(width=80, file=io.StringIO(), markup=False)
    screen.print(shown, crop=False)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def brief(width: int) -> Screen:
    return Screen(width, brief=True)


# cells


@pytest.mark.parametrize(
    ("width", "read"),
    [(40, "champion=v7 canary=v8"), (21, "champion=v7 canary=v8"), (20, "champion=v7 …"), (11, "champion=v7"),
     (5, "cham…")],
)  # fmt: skip
def test_words_are_left_out_before_the_first_is_cut(width: int, read: str) -> None:
    assert Words(["champion=v7", "canary=v8"]).fit(width) == read


def test_no_words_need_no_room() -> None:
    assert (Words([]).fit(10), Words([]).min_width) == ("", 0)


@pytest.mark.parametrize(
    ("cell", "width", "read"),
    [
        (Free("a long sentence"), 15, "a long sentence"),
        (Free("a long sentence"), 8, "a long…"),
        (Free("shards/model-00001.bin", by_end=True), 12, "…l-00001.bin"),
        (Free("", kept="staging → production"), 20, "staging → production"),
        (Free("a-long-alias-of-a-model", kept="v7 → v8"), 20, "a-long-alia… v7 → v8"),
        (Free("模型的说明文字"), 7, "模型的…"),
        (Free("模型的说明文字", by_end=True), 7, "…明文字"),
    ],
)
def test_a_text_is_cut_but_not_what_is_kept(cell: Free, width: int, read: str) -> None:
    assert cell.fit(width) == read
    assert cell.min_width <= max(width, 20)


def test_what_fits_is_not_cut() -> None:
    assert [cut("abcde", width) for width in (6, 5, 4)] == ["abcde", "abcde", "abc…"]


# versions


def _version(**metrics: float) -> VersionResponse:
    return VersionResponse(
        model="m", version=1, commit="0" * 40, stage=Stage.PRODUCTION, aliases=["champion"], s3_path="",
        metrics=metrics, framework="transformers", description="", tags={}, artifacts=[], size=1024,
        created_at=NOW, created_by=None, stage_changed_at=NOW, stage_changed_by=None,
    )  # fmt: skip


OTHERS = {f"metric_with_a_long_name_{number}": 0.125 for number in range(20)}


@pytest.mark.parametrize("width", [62, 80, 120, 1000])
@pytest.mark.parametrize("asked", ["f1", "metric_with_a_long_name_19", "size", METRIC])
def test_stage_and_the_metric_that_is_asked_for_are_never_left_out(width: int, asked: str) -> None:
    header, row = lines(versions(brief(width), [_version(**OTHERS | {"size": 3, asked: 0.5})], sorted_by=asked))
    assert ("metrics.size" if asked == "size" else asked) in header
    assert {"v1", "production", "0.5"} <= set(row.split())
    assert ("…" in header) == (width < 1000)
    assert len(header) <= max(width, 70)


def test_the_time_that_is_asked_for_is_never_left_out() -> None:
    found = [_version(**OTHERS, created=0.75)]
    for width in (40, 80):
        header, row = lines(versions(brief(width), found, sorted_by="created"))
        assert header.split()[-1] == "created"
        assert row.endswith("2026-01-31")


def test_a_wide_list_has_all_columns() -> None:
    header, row = lines(versions(Screen(10_000, brief=False), [_version(**OTHERS)]))
    assert set(OTHERS) < set(header.split())
    assert "…" not in header + row
    assert row.endswith("2026-01-31T12:00:00Z")


# other lists


def _event(**fields: Any) -> EventResponse:
    known = {"generation": 41, "type": "stage_changed", "version": 12, "actor": LONG, "at": NOW, "request_id": "r"}
    empty = dict.fromkeys(["from", "to", "alias", "replaced", "comment"])
    return EventResponse.model_validate(empty | known | fields)


EVENTS = [
    _event(**{"from": "production", "to": "archived", "comment": "approved in CHG-2291 " * 5}),
    _event(**{"from": "staging", "to": "production", "comment": "f1 rose"}),
    _event(type="alias_set", alias="an-alias-with-a-very-long-name-" * 2, **{"from": "11", "to": "12"}),
    _event(type="alias_removed", alias="canary", **{"from": "11"}),
]


@pytest.mark.parametrize("width", [80, 100, 1000])
def test_a_history_never_cuts_from_what_to_what(width: int) -> None:
    header, *rows = lines(lists.events(brief(width), EVENTS))
    for row, change in zip(
        rows, ["production → archived", "staging → production", "v11 → v12", "canary v11 → none"], strict=True
    ):
        assert change in row
        assert "2026-01-31" in row
        assert "github:" in row
    assert max(map(len, [header, *rows])) <= width
    assert ("generation" in header) == (width > 80)


def _model(name: str) -> ModelResponse:
    return ModelResponse(
        model=name, description="words " * 40, tags={}, latest_version=12, production_version=11,
        aliases={"champion": 11, "canary": 12, "eu-prod": 9}, generation=3, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["fraud", "a-name-of-some-length-" * 3, "m" * 96])
def test_a_list_of_models_never_cuts_a_name_or_the_versions(name: str) -> None:
    header, row = lines(lists.models(brief(80), [_model(name)]))
    assert row.split()[:3] == [name, "v11", "v12"]
    assert len(row) <= 80 or len(name) > 60
    assert ("description" in header) == (name == "fraud")


def test_a_list_of_uploads_never_cuts_what_has_arrived() -> None:
    upload = UploadProgressResponse(
        model="m", version=12, artifact_count=1000, arrived_count=998, size=2**40 - 1, arrived_size=2**40 - 2**30,
        created_at=NOW, created_by=LONG * 2, expires_at=NOW,
    )  # fmt: skip
    header, row = lines(lists.uploads(brief(80), [upload]))
    assert header.split() == ["version", "arrived", "files", "begun", "expires", "by"]
    assert re_split(row)[:-1] == ["v12", "1023 of 1024 GiB", "998 of 1000", "2026-01-31", "over"]
    assert len(row) <= 80


def _shown_differences() -> Sequence[str]:
    found = ComparisonResponse.model_validate({
        "model": "m", "a": 1, "b": 2,
        "metrics": [{"name": METRIC * 2, "a": 0.123456, "b": 0.5, "difference": 0.376544}],
        "tags": [{"name": "run_url", "a": "https://example.com/" * 9, "b": None}],
        "files": [{"path": f"{'folder/' * 20}weights.bin", "state": "changed", "a_size": 1, "b_size": 2}],
    })  # fmt: skip
    return lines(comparison(brief(80), found))


def test_a_comparison_cuts_names_and_no_numbers() -> None:
    _, metric, _, _, tag, _, _, file, *_ = _shown_differences()
    assert re_split(metric)[1:] == ["0.123456", "0.5", "+0.376544"]
    assert (tag.split()[0], tag.split()[-1]) == ("run_url", "-")
    assert file.split()[0].endswith("r/weights.bin")
    assert re_split(file)[1:] == ["changed", "1 B", "2 B"]
    assert max(map(len, [metric, tag, file])) <= 80


def re_split(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]
