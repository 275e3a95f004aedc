"""What the command line leaves out where there is no room."""

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
    assert TruncatedCell(["accuracy=0.967", "f1=0.941"]).fitting(width) == read


def test_no_words_need_no_room() -> None:
    assert (TruncatedCell([]).fitting(10), TruncatedCell([]).least) == ("", 0)
