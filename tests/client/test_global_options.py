"""The options of the program, before a command's name and after it; and what the help says of options."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from modelkeep.program import program
from tests.support.library_words import library_words
from tests.support.manual_tables import walk_commands
from tests.support.processes.cli import Cli

Write = Callable[..., Path]

COMMANDS = dict(walk_commands(typer.main.get_command(program)))


@pytest.fixture
def registered(dev_url: str, model: str, write: Write) -> str:
    assert Cli(dev_url).does("register", model, write(1000)) == ["1"]
    return model


@pytest.mark.parametrize("form", [["-o", "json"], ["--output", "json"], ["--output=json"]], ids=" ".join)
def test_the_form_of_the_output_is_taken_before_and_after(dev_url: str, registered: str, form: list[str]) -> None:
    cli = Cli(dev_url)
    before = cli.does(*form, "show", registered)
    assert json.loads("\n".join(before))["model"] == registered
    assert cli.does("show", *form, registered) == cli.does("show", registered, *form) == before
    assert cli.does("alias", *form, "list", registered) == cli.does("alias", "list", registered, *form) == ["[]"]


def test_the_address_after_the_command_wins(dev_url: str, registered: str) -> None:
    elsewhere = "http://127.0.0.1:1"
    cli = Cli(elsewhere)
    assert cli.does("show", registered, "--url", dev_url) == Cli(dev_url).does("show", registered)
    assert cli("--url", elsewhere, "show", registered, "--url", dev_url).status == 0
    assert Cli(dev_url)("show", registered, "--url", elsewhere).status == 3
    assert cli("--url", dev_url, "show", registered).status == 0


def test_quiet_is_taken_after_the_command(dev_url: str, model: str, write: Write) -> None:
    said = Cli(dev_url)("register", model, write(1000), "-q")
    assert (said.status, said.out, said.err) == (0, ["1"], [])


def test_a_commands_own_option_of_the_same_name_stays(dev_url: str, registered: str) -> None:
    assert Cli(dev_url).does("list", registered, "-q") == ["1"]
    assert json.loads("\n".join(Cli(dev_url).does("list", registered, "-q", "-o", "json")))[0]["version"] == 1


@pytest.mark.parametrize(
    "words", [["show"], ["show", "a", "--nonsense"], ["show", "a@"], ["nonsense"], ["promote", "a", "staging"]]
)
@pytest.mark.parametrize("form", [["-o", "json"], ["-ojson"], ["--output=json"]], ids=" ".join)
def test_a_mistake_is_json_wherever_that_was_asked_for(words: list[str], form: list[str]) -> None:
    for typed in ([*words, *form], [*form, *words]):
        said = Cli("http://127.0.0.1:1")(*typed)
        assert (said.status, json.loads("\n".join(said.err))["code"]) == (2, "usage")


def test_the_operators_commands_take_them_too(tmp_path: Path) -> None:
    cli = Cli("", {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(tmp_path / "absent")})
    for typed in (["-o", "json", "check"], ["check", "-o", "json"]):
        assert json.loads("\n".join(cli(*typed).err))["code"] == "unavailable"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_them(name: str) -> None:
    assert {"--url", "--output", "-o", "--quiet", "-q"} <= {
        option for parameter in COMMANDS[name].params for option in parameter.opts
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_looks_like_one_in_the_help(name: str) -> None:
    text = "\n".join(Cli("").does(*name.split(), "--help"))
    assert "<bool>" not in text
    for flag in filter(_is_flag, COMMANDS[name].params):
        (line,) = re.findall(rf"^│ +{flag.opts[0]} .*$", text, re.MULTILINE)
        assert re.fullmatch(rf"│ +{flag.opts[0]}( +-\w)? +[A-Z].*", line), line


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


@pytest.mark.parametrize("words", [[], ["alias"], ["token"]], ids=" ".join)
def test_a_flag_of_a_group_looks_like_one_in_the_help(words: list[str]) -> None:
    assert "<bool>" not in "\n".join(Cli("").does(*words, "--help"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_value_is_refused_without_words_of_a_library(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every option; the address is none either, so that nothing is asked, and nothing is served.

    To some options `?` is the name of a file or a folder, which they make.
    """
    monkeypatch.chdir(tmp_path)
    served = ["--workers=?"] if name in {"serve", "dev"} else []
    arguments = ["a" for each in COMMANDS[name].params if each.param_type_name == "argument" and each.required]
    for option in COMMANDS[name].params:
        if option.param_type_name == "option" and not _is_flag(option):
            typed = ["--url=ftp://nowhere", *name.split(), *arguments, f"{option.opts[0]}=?", *served]
            said = Cli("", {"MODELKEEP_BACKEND": "?"})(*typed)
            assert library_words("\n".join(said.err)) == [], typed


# examples


def examples_of(name: str) -> list[str]:
    return [line for line in COMMANDS[name].epilog.splitlines() if line.startswith("modelkeep ")]


def parsed(example: str) -> str:
    """The command of an example, parsed as it is typed and not run. Raises a usage error for a mistake."""
    root: Any = typer.main.get_command(program)
    command, found = root, []
    context = root.make_context("modelkeep", shlex.split(example)[1:])
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, words, parent=context)
        found.append(name)
    return " ".join(found)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_two_examples_that_can_be_typed(name: str) -> None:
    assert COMMANDS[name].epilog.startswith("Examples:")
    first, second = examples_of(name)
    assert [parsed(first), parsed(second)] == [name, name]
    assert first != second


def test_an_example_with_a_mistake_is_found() -> None:
    for mistaken in ("modelkeep list a --nonsense", "modelkeep promote", "modelkeep list --stage none"):
        with pytest.raises(typer.TyperException):
            parsed(mistaken)
