"""Output that its encoding does not have, as an emoji in a log of Latin-1: it is escaped, and nothing fails of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes.cli import Cli

Write = Callable[..., Path]

DESCRIPTION = "Für die Prüfung \N{ROCKET} done"


@pytest.fixture
def described(dev_url: str, model: str, write: Write) -> str:
    cli = Cli(dev_url)
    cli.does("register", model, write(10), "--description", DESCRIPTION)
    cli.does("promote", model, 1, "--comment", DESCRIPTION)
    cli.does("edit", model, "--description", DESCRIPTION)
    return model


def _printed(cli: Cli, *arguments: object) -> str:
    out, err = cli.start(*arguments, encoding="latin-1").communicate(timeout=60)
    assert err == ""
    return out


@pytest.mark.parametrize("encoding", ["latin-1", "latin-1:strict", "cp1252"])
def test_what_cannot_be_encoded_is_escaped(dev_url: str, described: str, encoding: str) -> None:
    cli = Cli(dev_url, {"PYTHONIOENCODING": encoding})
    words = DESCRIPTION.replace("\N{ROCKET}", r"\U0001f680")
    for command in (["show", described], ["show", described, "1"], ["history", described]):
        assert words in _printed(cli, *command)


def test_json_is_the_same_in_every_encoding(dev_url: str, described: str) -> None:
    cli = Cli(dev_url, {"PYTHONIOENCODING": "latin-1"})
    assert json.loads(_printed(cli, "-o", "json", "show", described, 1))["description"] == DESCRIPTION


def test_a_refusal_is_one_sentence_in_every_encoding(dev_url: str) -> None:
    cli = Cli(dev_url, {"PYTHONIOENCODING": "ascii:strict"})
    process = cli.start("register", "m", "/nowhere/\N{ROCKET}")
    assert "'/nowhere/\\U0001f680' does not exist" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_help_is_printed_in_every_encoding(dev_url: str) -> None:
    out = _printed(Cli(dev_url, {"PYTHONIOENCODING": "ascii"}), "--help")
    assert "register" in out
