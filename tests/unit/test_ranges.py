import pytest

from modelkeep.domain.errors import RangeNotSatisfiableError
from modelkeep.storage.local.ranges import parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-9", range(10)),
        ("bytes=0-99", range(10)),
        ("bytes=9-", range(9, 10)),
        ("bytes=-1", range(9, 10)),
        ("bytes=-99", range(10)),
        (" Bytes = 2-3 ", range(2, 4)),
        ("", None),
        ("bytes", None),
        ("bytes=-", None),
        ("bytes=3-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=+1-2", None),
        ("items=0-1", None),
        (f"bytes=0-{'9' * 5000}", None),
        ("bytes=\u0661-\u0662", None),
    ],
)
def test_a_range_is_read_or_ignored(header: str, expected: range | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_a_range_without_a_byte_is_refused(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        parse_range(header, size)
    assert refused.value.content_range == f"bytes */{size}"
