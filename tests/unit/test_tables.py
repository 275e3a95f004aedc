"""What a table leaves out where there is no room."""

import pytest

from modelkeep.cli.tables import TruncatedCell


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
