"""What a table leaves out where there is no room."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from modelkeep.cli import tables
from modelkeep.cli.tables import TruncatedCell
from modelkeep.domain.values import Stage
from modelkeep.schemas.versions import VersionResponse


@pytest.mark.parametrize(
    ("width", "read"),
    [
        (40, "accuracy=0.967 f1=0.941"),
        (23, "accuracy=0.967 f1=0.941"),
        (22, "accuracy=0.967 …"),
        (15, "accuracy=0.967"),
        (12, "accur…=0.967"),
        (5, "accu…"),
    ],
)
def test_words_are_left_out_before_the_first_is_cut(width: int, read: str) -> None:
    assert TruncatedCell(["accuracy=0.967", "f1=0.941"]).fit(width) == read


def test_no_words_need_no_room() -> None:
    assert (TruncatedCell([]).fit(10), TruncatedCell([]).min_width) == ("", 0)


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _version(**metrics: float) -> VersionResponse:
    return VersionResponse(
        model="m", version=1, commit="0" * 40, stage=Stage.PRODUCTION, aliases=["champion"], s3_path="",
        metrics=metrics, framework="transformers", description="", tags={}, artifacts=[], size=1024,
        created_at=NOW, created_by=None, stage_changed_at=NOW, stage_changed_by=None,
    )  # fmt: skip


@pytest.mark.parametrize("width", [62, 80, 120, 1000])
@pytest.mark.parametrize("asked", ["f1", "metric_with_a_long_name_19", "size"])
def test_the_metric_that_is_asked_for_is_never_left_out(
    monkeypatch: pytest.MonkeyPatch, width: int, asked: str
) -> None:
    monkeypatch.setattr(tables, "console", lambda: Console(width=width))
    others = {f"metric_with_a_long_name_{number}": 0.125 for number in range(20)}
    found = [_version(**others | {"size": 3, asked: 0.5})]
    screen = Console(width=width, file=io.StringIO())
    screen.print(tables.versions(found, sorted_by=asked))
    header, row = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert ("metrics.size" if asked == "size" else asked) in header
    assert "0.5" in row
    assert "v1" in row
    assert ("…" in header) == (width < 1000)
