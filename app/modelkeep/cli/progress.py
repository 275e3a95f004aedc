"""How a transfer goes, on standard error: bars on a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Mapping
from typing import Final, Self

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
from modelkeep.kit.text import format_count, format_duration, format_size

_LARGE: Final = 64 * 1024 * 1024
"""A smaller file is gone before anybody has read its bar."""

_BARS_AT_ONCE: Final = 6
_NAME_WIDTH: Final = 20
_RATE_WIDTH: Final = len("1023 KiB/s")
_LINE_SECONDS: Final = 10.0

_DOING: Final = {Step.HASHING: "Hashing", Step.UPLOADING: "Uploading", Step.DOWNLOADING: "Downloading"}


class Display(Progress):
    """Shows nothing. It begins with a `with` block and ends with it, or when it is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was, for other output."""


def display(options: Options) -> Display:
    """The display that suits the options and standard error."""
    if options.quiet:
        return Display()
    if sys.stderr.isatty():
        return Bars()
    return Display() if options.as_json else Lines()


class Lines(Display):
    """A line for each step, and at most one in ten seconds while it lasts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._console = console(err=True)
        self._step = ""
        self._total = self._moved = 0
        self._began = self._said = time.monotonic()

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """Say what begins."""
        with self._lock:
            self._step, self._total, self._moved = _DOING[step], sum(sizes.values()), 0
            self._began = self._said = time.monotonic()
        self._console.print(f"{self._step} {format_count(len(sizes), 'file')}, {format_size(self._total)}")

    def move(self, path: str, size: int) -> None:  # noqa: ARG002 -- the total alone is told
        """Count, and say how far it is if nothing was said for a while."""
        with self._lock:
            self._moved += size
            now = time.monotonic()
            if now - self._said < _LINE_SECONDS:
                return
            self._said = now
            line = self._line(now - self._began)
        self._console.print(line)

    def _line(self, seconds: float) -> str:
        rate = max(self._moved, 1) / seconds
        done = f"{format_size(self._moved)} of {format_size(self._total)}"
        left = format_duration(max(self._total - self._moved, 0) / rate)
        return f"{self._step}: {done}, {format_size(rate)}/s, {left} left"


class _Rate(ProgressColumn):
    """Bytes a second, in the units of everything else."""

    def render(self, task: Task) -> Text:
        """Nothing until it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{format_size(speed)}/s" if speed else "", style="progress.data.speed")


class Bars(Display):
    """A bar for each large file that moves, and one for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars = RichProgress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"), markup=False),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(binary_units=True, table_column=Column(no_wrap=True, justify="right")),
            _Rate(table_column=Column(no_wrap=True, justify="right", min_width=_RATE_WIDTH)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=console(err=True),
            transient=True,
            expand=True,
        )
        self._total: TaskID | None = None
        self._large: dict[str, TaskID] = {}
        self._visible: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def close(self) -> None:
        """Remove the bars."""
        if self._bars.live.is_started:
            self._bars.stop()

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """Start again with the bars of this step."""
        with self._lock:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._visible.clear()
            large = sorted(path for path, size in sizes.items() if size > _LARGE) if len(sizes) > 1 else []
            self._large = {
                path: self._bars.add_task(_shortened(path), total=sizes[path], visible=False) for path in large
            }
            name = f"{_DOING[step]} {format_count(len(sizes), 'file')}"
            self._total = self._bars.add_task(name, total=sum(sizes.values()))

    def move(self, path: str, size: int) -> None:
        """Move the bars; they are drawn by a thread of their own."""
        if self._total is not None:
            self._bars.advance(self._total, size)
        if (task := self._large.get(path)) is not None:
            self._bars.advance(task, size)
            self._choose(path, task)

    def _choose(self, path: str, task: TaskID) -> None:
        """Show the bar of a file that moves, while there is room; a finished one makes room for another."""
        with self._lock:
            done = self._bars.tasks[self._bars.task_ids.index(task)].finished
            if path in self._visible:
                if done:
                    self._visible.discard(path)
                    self._bars.update(task, visible=False)
            elif not done and len(self._visible) < _BARS_AT_ONCE:
                self._visible.add(path)
                self._bars.update(task, visible=True)


def _shortened(path: str) -> str:
    """The end of a path says which file it is."""
    return path if len(path) <= _NAME_WIDTH else f"…{path[1 - _NAME_WIDTH :]}"
