"""How sizes, counts, durations and moments read."""

from datetime import UTC, datetime, timedelta

import pytest

from modelkeep.kit.text import format_age, format_count, format_duration, format_moment, format_size, one_line

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
    assert format_size(count) == read


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.04, "0.0 s"), (8.44, "8.4 s"), (125, "2 min 5 s"), (7380, "2 h 3 min")]
)
def test_durations(seconds: float, read: str) -> None:
    assert format_duration(seconds) == read


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
    assert format_age(datetime.now(UTC) - passed) == read


def test_what_is_older_than_a_week_has_a_date() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert (format_age(at), format_moment(at)) == ("2026-01-31", "2026-01-31T12:00:00Z")


@pytest.mark.parametrize(("count", "read"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")])
def test_counts(count: int, read: str) -> None:
    assert format_count(count, "file") == read


def test_foreign_text_is_one_line_that_a_terminal_does_not_obey() -> None:
    assert one_line(" two\nlines\x1b[31m and\ttabs ") == "two lines [31m and tabs"
