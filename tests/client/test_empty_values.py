"""Variables of a script that are not set: an empty value is refused before anything is asked, and no default."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from modelkeep.program import program
from tests.support.processes.cli import Cli
from tests.support.servers import free_port

Write = Callable[..., Path]

MEANS_SOMETHING: Final = {"--description", "--comment"}
"""An empty one is none, or takes the text away."""


def _options(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Each command with each of its options that takes a value."""
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from _options(command.get_command(None, name), *words, name)
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.is_flag:
            yield from ((*words, spelling) for spelling in parameter.opts if spelling.startswith("--"))


OPTIONS: Final = sorted(set(_options(get_command(program))) - {("--output",)})
"""Without the one that is refused with a list of its values before the command is known."""


@pytest.fixture
def cli() -> Cli:
    return Cli(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("words", [words for words in OPTIONS if words[-1] not in MEANS_SOMETHING], ids=" ".join)
def test_an_option_without_its_value_is_named(cli: Cli, words: tuple[str, ...]) -> None:
    sentence = f"Invalid value for what follows '{words[-1]}': it is empty. Is a variable not set?"
    assert cli.refusal(*words, "", status=2) == ("usage", sentence)
    sentence = f"Invalid value for '{words[-1]}': it is empty. Is a variable not set?"
    assert cli.refusal(*words[:-1], f"{words[-1]}=", status=2) == ("usage", sentence)


@pytest.mark.parametrize("command", ["register m", "list", "show m", "download", "promote m", "token create"])
def test_an_argument_that_is_empty_is_told_by_what_is_before_it(cli: Cli, command: str) -> None:
    before = command.rpartition(" ")[2]
    sentence = f"Invalid value for what follows '{before}': it is empty. Is a variable not set?"
    assert cli.refusal(*command.split(), "", status=2) == ("usage", sentence)


def test_what_may_be_empty_is(dev_url: str, model: str, write: Write) -> None:
    cli = Cli(dev_url)
    described = cli.answer("register", model, write(10), "--description", "", "--tag", "dataset=", "--tag=owner=")
    assert (described["description"], described["tags"]["dataset"], described["tags"]["owner"]) == ("", "", "")
    cli.does("promote", model, 1, "--comment", "")
    cli.does("edit", model, 1, "--description", "the first")
    assert cli.answer("edit", model, 1, "--description=")["description"] == ""


def test_options_that_jobs_feed_are_among_those(cli: Cli) -> None:
    fed = [("register", "--idempotency-key"), ("register", "--framework"), ("promote", "--expect"), ("--url",)]
    assert {*fed, ("download", "--version"), ("download", "--dest"), ("register", "--tag")} <= {*OPTIONS}
