"""The first hour with a registry, as the manual shows it: typed again in 80 columns, every line the same."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.faults.proxy import Proxy
from tests.support.pages import MANUAL
from tests.support.processes.cli import Cli
from tests.support.processes.terminal import COLUMNS, Terminal, terminal, why_no_terminal

PAGE = MANUAL / "command-line.md"
VARYING = {
    r"\d+ (s|min) ago": "just now",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ": "2026-01-31T12:00:00Z",
    r"\d+(\.\d+)? (ms|s)\b": "0.4 s",
    r"[\d.]+ [KM]?i?B/s": "7.8 KiB/s",
    r"  +": "  ",
}
"""What differs from run to run, and what the page has instead."""


@pytest.fixture
def screen(proxy: Proxy, tmp_path: Path, state_folder: Path) -> Iterator[Terminal]:
    if missing := why_no_terminal():
        pytest.skip(missing)
    with terminal(tmp_path, dict(Cli(proxy.url).environment)) as opened:
        yield opened


def transcript() -> list[tuple[str, list[str]]]:
    """The commands of the page, each with what it prints."""
    block = PAGE.read_text().partition("## The first hour")[2].partition("```text\n")[2].partition("```")[0]
    steps = [step.splitlines() for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, [re.sub(r"  +", "  ", line) for line in lines if line]) for command, *lines in steps]


def as_on_the_page(lines: list[str], model: str) -> list[str]:
    """Lines that the terminal broke are whole again, and what varies is as on the page."""
    text = "".join(line if len(line) == COLUMNS else f"{line}\n" for line in lines)
    for varying, written in VARYING.items():
        text = re.sub(varying, written, text)
    return [line for line in text.replace(model, "fraud-detector").splitlines() if line]


def test_the_first_hour_is_as_the_manual_shows_it(screen: Terminal, tmp_path: Path) -> None:
    model = f"first-{uuid4().hex[:8]}"
    assert len(model) == len("fraud-detector")
    run = tmp_path / "run"
    run.mkdir()
    for name, content in {"config.json": b"{}", "model.safetensors": b"1" * 3000, "notes.txt": b"ok"}.items():
        (run / name).write_bytes(content)
    steps = transcript()
    assert len(steps) > 10
    for command, printed in steps:
        program, *arguments = shlex.split(command, comments=True)
        if program != "modelkeep":
            (run / "model.safetensors").write_bytes(b"2" * 3000)
            continue
        *lines, _ = screen.run(*(argument.replace("fraud-detector", model) for argument in arguments))
        assert as_on_the_page(lines, model) == printed, command
