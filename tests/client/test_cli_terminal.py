"""How the commands look to a person: on a terminal of 80 columns, and nothing wider."""

import re
from collections.abc import Callable, Iterator
from json import dumps
from pathlib import Path

import pytest

from tests.support.faults.network import passes, sleeps, trickles
from tests.support.faults.proxy import Proxy
from tests.support.processes.cli import Cli
from tests.support.processes.terminal import COLUMNS, Terminal, terminal, why_no_terminal

MIB = 1024 * 1024
BAR = "━━━━"

Write = Callable[..., Path]


@pytest.fixture
def screen(proxy: Proxy, tmp_path: Path, state_folder: Path) -> Iterator[Terminal]:
    if missing := why_no_terminal():
        pytest.skip(missing)
    variables = dict(Cli(proxy.url).environment)
    del variables["NO_COLOR"]
    with terminal(tmp_path, variables) as opened:
        yield opened


@pytest.fixture
def cli(proxy: Proxy) -> Cli:
    return Cli(proxy.url)


def cells(lines: list[str]) -> list[list[str]]:
    """A table by its columns: they are aligned where two blanks stand below each other in every line."""
    padded = [line.ljust(COLUMNS) for line in lines]
    blank = "".join(" " if {line[at] for line in padded} == {" "} else "x" for at in range(COLUMNS))
    edges = [(found.start(), found.end()) for found in re.finditer(r"x(?:x| (?! ))*", blank)]
    return [[line[start:stop].strip() for start, stop in edges] for line in padded]


def test_a_list_of_versions_fits_and_is_aligned(screen: Terminal, cli: Cli, model: str, write: Write) -> None:
    metrics = ['{"accuracy": 0.967, "f1": 0.941}', '{"a_metric_with_a_long_name": 0.123456789, "f1": 0.8}', "{}"]
    for given in metrics:
        cli.does("register", model, write(1000), "--framework", "pytorch", "--metrics", given)
    for alias in ("champion", "canary", "eu-prod"):
        cli.does("alias", "set", model, alias, 2)
    cli.does("promote", model, 2)
    *table, status = screen.run("list", model)
    assert status == "status 0"
    assert max(map(len, table)) <= COLUMNS
    assert cells(table) == [
        ["version", "stage", "aliases", "size", "framework", "f1", "accuracy", "…", "created"],
        ["v3", "staging", "", "1000 B", "pytorch", "", "", "", "just now"],
        ["v2", "production", "canary …", "1000 B", "pytorch", "0.8", "", "…", "just now"],
        ["v1", "staging", "", "1000 B", "pytorch", "0.941", "0.967", "", "just now"],
    ]
    assert re.search(r"\x1b\[[0-9;]*32mproduction", screen.colours())


def test_a_history_and_a_list_of_models_fit(screen: Terminal, cli: Cli, model: str, write: Write) -> None:
    cli.does("register", model, write(1000), "--promote", "production")
    cli.does("promote", model, 1, "staging", "--comment", "many words on why this had to happen " * 5)
    cli.does("edit", model, "--description", "many words on what this is for " * 5)
    for command in (["history", model], ["list"], ["show", model, "1"]):
        *lines, status = screen.run(*command)
        assert status == "status 0"
        assert max(map(len, lines)) <= COLUMNS
        assert "…" in "".join(lines) or command[0] != "history"
        assert "…" not in "".join(lines) or command[0] != "show"


def test_what_was_asked_for_is_neither_cut_nor_left_out(screen: Terminal, cli: Cli, model: str, write: Write) -> None:
    metrics = {"validation/macro_f1_over_the_holdout_of_march": 0.912345, **{f"loss_{at}": 0.5 for at in range(9)}}
    cli.does("register", model, write(1000), "--framework", "a-framework-of-some-length", "--metrics", dumps(metrics))
    cli.does("promote", model, 1, "--comment", "approved in CHG-2291 after a long discussion")
    cli.does("promote", model, 1, "archived", "--comment", "many words on why this had to happen")
    header, row, _ = screen.run("list", model, "--sort", next(iter(metrics)))
    assert (header.split()[2], row.split()[1:3]) == (next(iter(metrics)), ["archived", "0.912345"])
    assert max(map(len, (header, row))) <= COLUMNS
    lines = screen.run("history", model)
    assert sum(change in line for line in lines for change in ("staging → production", "production → archived")) == 2
    assert max(map(len, lines)) <= COLUMNS
    wide = "".join(screen.run("list", model, "--wide"))
    assert {*metrics, "a-framework-of-some-length"} <= set(wide.split())
    assert "many words on why this had to happen" in "".join(screen.run("history", model, "--wide"))


def test_an_upload_has_a_bar_for_each_large_file_and_one_for_all(
    screen: Terminal, proxy: Proxy, model: str, write: Write
) -> None:
    source = write(**{"shards/model-00001-of-00002.safetensors": 65 * MIB, "large.bin": 65 * MIB, "small.json": 10})
    proxy.when("PUT", r"large\.bin|safetensors", passes, pace=0.05)
    screen.type("register", model, source)
    lines = screen.until(lambda lines: sum(BAR in line for line in lines) == 3 and "Uploading 3 files" in lines[-1])
    assert max(map(len, lines)) <= COLUMNS
    bars = [re.search(r"[━╸╺]", line) for line in lines if BAR in line]
    assert len({bar and bar.start() for bar in bars}) == 1
    assert re.search(r"…\S*-00002\.safetensors", "\n".join(lines))
    assert re.search(r"[\d.]+/130\.0 MiB", lines[-1])
    left = screen.ended()
    assert re.fullmatch(
        rf"Registered {model} v1 \(unknown, inferred\): 3 files, 130 MiB in [\d.]+ s \([\d.]+ MiB/s\)",
        " ".join(left[:-2]),
    )
    assert left[-2:] == ["1", "status 0"]
    assert screen.cursor_is_shown()


def test_a_download_shows_a_bar_and_ends_with_the_path(
    screen: Terminal, cli: Cli, proxy: Proxy, model: str, write: Write
) -> None:
    cli.does("register", model, write(3 * MIB), "--promote", "production")
    proxy.when("GET", "/local-store/", trickles(0.05))
    screen.type("download", model, "--dest", "serving")
    lines = screen.until(lambda lines: BAR in "".join(lines))
    assert re.fullmatch(r"Downloading 1 file +━.* +[\d.]+/3\.0 MiB.*", lines[-1])
    assert len(lines[-1]) <= COLUMNS
    left = screen.ended()
    assert left[0].startswith(f"Downloaded {model} v1: 1 file, 3.0 MiB in ")
    assert left[-2:] == ["serving/model.pt", "status 0"]


def test_ctrl_c_leaves_the_terminal_as_it_was(screen: Terminal, proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", "/local-store/", sleeps(20))
    screen.type("register", model, write(1000))
    screen.until(lambda lines: "Uploading 1 file" in "".join(lines))
    screen.press("C-c")
    left = screen.ended()
    assert left[-2:] == ["Interrupted; the same command goes on where it stopped.", "status 130"]
    assert screen.cursor_is_shown()


def test_deleting_asks_for_the_name(screen: Terminal, cli: Cli, model: str, write: Write) -> None:
    cli.does("register", model, write(10))
    for answer, last in (
        ("yes", ["Nothing was deleted.", "status 1"]),
        (f"{model} v1", [f"{model} v1 is deleted", "status 0"]),
    ):
        screen.type("delete", model, 1)
        screen.until(lambda lines: lines[-1:] != [] and lines[-1].startswith(f"Type '{model} v1' to delete it"))
        screen.press(answer)
        screen.press("Enter")
        assert screen.ended()[-2:] == last


def test_ctrl_c_is_an_answer_too(screen: Terminal, cli: Cli, model: str, write: Write) -> None:
    cli.does("register", model, write(10))
    screen.type("delete", model)
    screen.until(lambda lines: lines[-1:] == [f"Type '{model}' to delete it:"])
    screen.press("C-c")
    assert screen.ended()[-2:] == ["Interrupted.", "status 130"]
    assert cli.answer("show", model)["latest_version"] == 1


def test_an_error_is_a_sentence_and_its_code_is_for_programs(screen: Terminal, model: str) -> None:
    *sentence, status = screen.run("show", model)
    assert (
        "".join(sentence)
        == f"Error: There is no model '{model}'. Check its name; the first version that is registered creates it."
    )
    assert status == "status 1"


def test_no_color_is_obeyed(cli: Cli, proxy: Proxy, model: str, write: Write, tmp_path: Path) -> None:
    if missing := why_no_terminal():
        pytest.skip(missing)
    cli.does("register", model, write(10), "--promote", "production")
    with terminal(tmp_path, dict(cli.environment) | {"NO_COLOR": "1"}) as screen:
        screen.run("list", model)
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.colours())
