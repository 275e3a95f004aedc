"""Progress of a transfer on standard error: bars on a terminal, a line every ten seconds elsewhere."""

import sys
import threading
import time
from collections.abc import Mapping
from typing import Final, Self

from rich.cells import cell_len
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from modelkeep.cli.options import Options
from modelkeep.cli.output import console
from modelkeep.client import Progress, Step
from modelkeep.kit.text import escaped_lines, format_count, format_duration, format_size

_LARGE_FILE_BYTES: Final = 64 * 1024 * 1024
"""A smaller file is done before its bar can be read."""

_MAX_FILE_BARS: Final = 6
_MAX_NAME_WIDTH: Final = 20
_RATE_WIDTH: Final = len("1023 KiB/s")
_LINE_INTERVAL_SECONDS: Final = 10.0

_STEP_NAMES: Final = {Step.HASHING: "Hashing", Step.UPLOADING: "Uploading", Step.DOWNLOADING: "Downloading"}


class Display(Progress):
    """Shows nothing. It lasts as long as its `with` block, or until it is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it from the terminal, before other output."""

    def remark(self, sentence: str) -> None:
        """Print nothing."""


def display(options: Options) -> Display:
    """The display that suits the options and standard error."""
    if options.quiet:
        return Display()
    if sys.stderr.isatty():
        return Bars()
    return Display() if options.for_programs else Lines()


class Lines(Display):
    """A line for each step, and one every ten seconds while the step lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._console = console(err=True)
        self._step = ""
        self._total = self._done = 0
        self._started_at = self._printed_at = time.monotonic()

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """Print what begins."""
        with self._lock:
            self._step, self._total, self._done = _STEP_NAMES[step], sum(sizes.values()), 0
            self._started_at = self._printed_at = time.monotonic()
        self._console.print(f"{self._step} {format_count(len(sizes), 'file')}, {format_size(self._total)}")

    def advance(self, path: str, size: int) -> None:  # noqa: ARG002 -- only the total is shown
        """Count, and print how far the step is if nothing was printed for a while."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now - self._printed_at < _LINE_INTERVAL_SECONDS:
                return
            self._printed_at = now
            line = self._line(now - self._started_at)
        self._console.print(line)

    def remark(self, sentence: str) -> None:
        """Print the sentence."""
        self._console.print(escaped_lines(sentence))

    def _line(self, seconds: float) -> str:
        rate = max(self._done, 1) / seconds
        done = f"{format_size(self._done)} of {format_size(self._total)}"
        left = format_duration(max(self._total - self._done, 0) / rate)
        return f"{self._step}: {done}, {format_size(rate)}/s, {left} left"


class _RateColumn(ProgressColumn):
    """Bytes per second, in the units of everything else."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text(f"{format_size(speed)}/s" if speed else "", style="progress.data.speed")


class Bars(Display):
    """A bar for each large file that is being transferred, and one for all files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars = RichProgress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"), markup=False),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(binary_units=True, table_column=Column(no_wrap=True, justify="right")),
            _RateColumn(table_column=Column(no_wrap=True, justify="right", min_width=_RATE_WIDTH)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=console(err=True),
            transient=True,
            expand=True,
        )
        self._total: TaskID | None = None
        self._file_tasks: dict[str, TaskID] = {}
        self._visible: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def close(self) -> None:
        """Remove the bars."""
        if self._bars.live.is_started:
            self._bars.stop()

    def remark(self, sentence: str) -> None:
        """Print the sentence above the bars."""
        self._bars.console.print(escaped_lines(sentence))

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """Replace the bars by those of this step."""
        with self._lock:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._visible.clear()
            large = sorted(path for path, size in sizes.items() if size > _LARGE_FILE_BYTES) if len(sizes) > 1 else []
            self._file_tasks = {
                path: self._bars.add_task(_shorten(path), total=sizes[path], visible=False) for path in large
            }
            name = f"{_STEP_NAMES[step]} {format_count(len(sizes), 'file')}"
            self._total = self._bars.add_task(name, total=sum(sizes.values()))

    def advance(self, path: str, size: int) -> None:
        """Advance the bars, which another thread draws."""
        if self._total is not None:
            self._bars.advance(self._total, size)
        if (task := self._file_tasks.get(path)) is not None:
            self._bars.advance(task, size)
            self._update_visible(path, task)

    def _update_visible(self, path: str, task: TaskID) -> None:
        """Show the bar of a file that advances, while there is room; a finished one makes room for another."""
        with self._lock:
            is_finished = self._bars.tasks[self._bars.task_ids.index(task)].finished
            if path in self._visible:
                if is_finished:
                    self._visible.discard(path)
                    self._bars.update(task, visible=False)
            elif not is_finished and len(self._visible) < _MAX_FILE_BARS:
                self._visible.add(path)
                self._bars.update(task, visible=True)


def _shorten(path: str) -> str:
    """The end of a path, which identifies the file."""
    start = next(at for at in range(len(path) + 1) if cell_len(path[at:]) <= _MAX_NAME_WIDTH - (at > 0))
    return f"…{path[start:]}" if start else path
