"""What is said while bytes move, where no terminal shows bars; and how many bars a terminal shows."""

import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from rich.cells import cell_len

from modelkeep.cli import progress
from modelkeep.cli.options import Options, Output
from modelkeep.cli.progress import Bars, Display, Lines, display
from modelkeep.client import Step

MIB = 1024 * 1024
GIB = 1024 * MIB


class Screen(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [1000.0]
    monkeypatch.setattr(progress, "time", mock.Mock(monotonic=lambda: now[0]))

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("model.pt", "model.pt"),
        ("weights/shard-00001-of-00002.bin", "…rd-00001-of-00002.bin"[-20:]),
        ("模型/权重/第一部分.safetensors", "…一部分.safetensors"),
    ],
)
def test_a_bar_has_the_end_of_a_path_that_is_wider_than_its_column(path: str, shown: str) -> None:
    assert progress._shorten(path).lstrip("…") in path
    assert cell_len(progress._shorten(path)) <= 20
    assert progress._shorten(path)[-10:] == shown[-10:]


def test_a_log_has_a_line_for_each_step_and_one_in_ten_seconds(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Lines()
    lines.begin(Step.UPLOADING, {"a": GIB, "b": GIB})
    for _ in range(250):
        clock(0.1)
        lines.advance("a", MIB)
    assert capsys.readouterr().err.splitlines() == [
        "Uploading 2 files, 2.0 GiB",
        "Uploading: 100 MiB of 2.0 GiB, 10.0 MiB/s, 3 min 14 s left",
        "Uploading: 200 MiB of 2.0 GiB, 10.0 MiB/s, 3 min 4 s left",
    ]


def test_the_display_suits_where_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    people = Options(url=None, output=Output.HUMAN, quiet=False)
    program = Options(url=None, output=Output.JSON, quiet=False)
    silent = Options(url=None, output=Output.HUMAN, quiet=True)
    assert [type(display(options)) for options in (people, program, silent)] == [Lines, Display, Display]
    monkeypatch.setattr(sys, "stderr", Screen())
    assert [type(display(options)) for options in (people, program, silent)] == [Bars, Bars, Display]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    monkeypatch.setattr(sys, "stderr", Screen())
    return Bars()


def _seen(bars: Bars) -> list[str]:
    return [task.description for task in bars._bars.tasks if task.visible]


def test_at_most_six_files_have_a_bar_at_a_time(bars: Bars) -> None:
    sizes = {f"shard-{number}": 65 * MIB for number in range(9)} | {"small": MIB}
    bars.begin(Step.DOWNLOADING, sizes)
    assert _seen(bars) == ["Downloading 10 files"]
    for path in sizes:
        bars.advance(path, MIB)
    assert _seen(bars) == [*(f"shard-{number}" for number in range(6)), "Downloading 10 files"]
    bars.advance("shard-2", 64 * MIB)
    bars.advance("shard-8", MIB)
    assert _seen(bars) == [*(f"shard-{number}" for number in (0, 1, 3, 4, 5, 8)), "Downloading 10 files"]
    bars.begin(Step.HASHING, {"shard-1": 65 * MIB})
    assert _seen(bars) == ["Hashing 1 file"]


def test_what_moves_again_is_counted_once(bars: Bars) -> None:
    bars.begin(Step.UPLOADING, {"a": 65 * MIB, "b": 65 * MIB})
    for size in (10 * MIB, -10 * MIB, 20 * MIB):
        bars.advance("a", size)
    assert [task.completed for task in bars._bars.tasks] == [20 * MIB, 0, 20 * MIB]


def test_moving_costs_little_from_many_threads(bars: Bars) -> None:
    sizes = {f"shard-{number}": GIB for number in range(200)}
    with bars, ThreadPoolExecutor(8) as threads:
        bars.begin(Step.UPLOADING, sizes)
        began = time.process_time()
        list(threads.map(lambda number: bars.advance(f"shard-{number % 200}", MIB), range(4000)))
        assert time.process_time() - began < 4, "a MiB a millisecond is a GiB a second"
    assert bars._bars.tasks[-1].completed == 4000 * MIB
