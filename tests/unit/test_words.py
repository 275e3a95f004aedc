"""How the command line says sizes, durations and moments, and what it leaves out where there is no room."""

from datetime import UTC, datetime, timedelta

import pytest

from modelkeep.cli import formatting
from modelkeep.cli.tables import TruncatedCell

GIB = 1024**3


@pytest.mark.parametrize(
    ("count", "read"),
    [
        (None, "?"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * 1024**2, "1.5 MiB"),
        (100 * GIB, "100 GiB"),
        (5000 * 1024 * GIB, "5000 TiB"),
    ],
)
def test_sizes(count: float | None, read: str) -> None:
    assert formatting.size(count) == read


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.04, "0.0 s"), (8.44, "8.4 s"), (125, "2 min 5 s"), (7380, "2 h 3 min")]
)
def test_durations(seconds: float, read: str) -> None:
    assert formatting.duration(seconds) == read


@pytest.mark.parametrize(
    ("passed", "read"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=50), "just now"),
        (timedelta(minutes=5, seconds=1), "5 min ago"),
        (timedelta(hours=23, seconds=1), "23 h ago"),
        (timedelta(days=6, seconds=1), "6 d ago"),
    ],
)
def test_ages(passed: timedelta, read: str) -> None:
    assert formatting.age(datetime.now(UTC) - passed) == read


def test_what_is_older_than_a_week_has_a_date() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert (formatting.age(at), formatting.moment(at)) == ("2026-01-31", "2026-01-31T12:00:00Z")


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
    assert TruncatedCell(["accuracy=0.967", "f1=0.941"]).fitting(width) == read


def test_no_words_need_no_room() -> None:
    assert (TruncatedCell([]).fitting(10), TruncatedCell([]).least) == ("", 0)
