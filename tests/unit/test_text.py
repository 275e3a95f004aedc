"""How sizes, counts, durations and moments read."""

from datetime import UTC, datetime, timedelta

import pytest

from modelkeep.kit.text import (
    format_age,
    format_count,
    format_duration,
    format_moment,
    format_share,
    format_size,
    format_until,
    one_line,
)

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


@pytest.mark.parametrize(
    ("part", "whole", "read"),
    [
        (0, 9, "0 of 9 B"),
        (9, 9, "all of 9 B"),
        (0, 0, "all of 0 B"),
        (1023, 1024, "0.9 of 1.0 KiB"),
        (600 * 1024**2, 1434 * 1024**2, "0.5 of 1.4 GiB"),
        (700 * 1024**2 - 1, 700 * 1024**2, "699 of 700 MiB"),
        (1, 1434 * 1024**2, "0.0 of 1.4 GiB"),
        (1434 * 1024**2 - 1, 1434 * 1024**2, "1.4 of 1.4 GiB"),
        (1024**3 + 1024**2 * 409, 1434 * 1024**2, "1.3 of 1.4 GiB"),
    ],
)
def test_a_share_is_in_the_unit_of_the_whole_and_never_all_of_it_too_soon(part: int, whole: int, read: str) -> None:
    assert format_share(part, whole) == read


@pytest.mark.parametrize(
    ("left", "read"),
    [
        (timedelta(seconds=-1), "over"),
        (timedelta(seconds=59), "in 0 min"),
        (timedelta(minutes=59, seconds=59), "in 59 min"),
        (timedelta(hours=47, minutes=59), "in 47 h"),
        (timedelta(days=2, minutes=5), "in 2 d"),
    ],
)
def test_what_is_ahead_is_read_in_one_unit(left: timedelta, read: str) -> None:
    assert format_until(datetime.now(UTC) + left) == read
