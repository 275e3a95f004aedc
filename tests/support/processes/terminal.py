"""A terminal of 80 columns and 24 lines, by tmux: what a person sees of a command."""

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import EXECUTABLE, clean_environment

COLUMNS, LINES = 80, 24

_PROMPT = "ready {}>"
"""Holds the number of the next command, so that the screen before a command is not taken for the one after it."""

_TIMEOUT = 60


def why_no_terminal() -> str | None:
    """The reason why nothing can be looked at here, if there is one."""
    return None if shutil.which("tmux") else "tmux is not installed: how the command line looks is NOT tested"


@dataclass
class Terminal:
    """A shell in a tmux server of its own, behind `socket`."""

    socket: Path
    typed: int = 0

    def type(self, *arguments: object) -> None:
        """Type a command of the program, on a screen that is empty."""
        self.typed += 1
        command = shlex.join([EXECUTABLE, *map(str, arguments)])
        self._tmux("send-keys", "-t", "it", f"clear; {command}; echo status $?", "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", "-t", "it", key)

    def screen(self) -> list[str]:
        """The lines that are seen, as they are, to the last that is not empty."""
        return self._tmux("capture-pane", "-p", "-t", "it").rstrip("\n").splitlines()

    def colours(self) -> str:
        """The same with the sequences that colour it."""
        return self._tmux("capture-pane", "-e", "-p", "-t", "it")

    def cursor_is_shown(self) -> bool:
        return self._tmux("display-message", "-p", "-t", "it", "#{cursor_flag}").strip() == "1"

    def until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """The first screen that is as it should be; it may be empty at first."""
        deadline = time.monotonic() + _TIMEOUT
        while not seen(lines := self.screen()):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.03)
        return lines

    def run(self, *arguments: object) -> list[str]:
        """Type a command and wait for its end: what it left on the screen, and `status N`."""
        self.type(*arguments)
        return self.ended()

    def ended(self) -> list[str]:
        """What is on the screen when the prompt is back."""
        prompt = _PROMPT.format(self.typed + 1)
        return self.until(lambda lines: lines[-1:] == [prompt] and lines[-2:-1] != [])[:-1]

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def terminal(folder: Path, variables: Mapping[str, str]) -> Iterator[Terminal]:
    """Open one, whose shell has these variables and is in this folder."""
    opened = Terminal(folder / "tmux")
    size = ["-x", str(COLUMNS), "-y", str(LINES)]
    environment = clean_environment(variables) | {"TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
    command = ["tmux", "-S", str(opened.socket), "-f", "/dev/null", "new-session", "-d", "-s", "it", *size]
    shell = ["env", "PS1=" + _PROMPT.format(r"\#"), "bash", "--norc", "--noprofile"]
    subprocess.run([*command, "-c", str(folder), *shell], env=environment, check=True)
    try:
        opened.until(lambda lines: lines == [_PROMPT.format(1)])
        yield opened
    finally:
        subprocess.run(["tmux", "-S", str(opened.socket), "kill-server"], check=False)
