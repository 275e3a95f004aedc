"""What a word becomes at the press of the tabulator: by bash's own protocol, in bash itself, and in other shells."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from modelkeep.cli import completion
from modelkeep.cli.bash_completion import ALIAS, ARGUMENTS, MODEL, REF, STAGE, VERSION_OF, joined
from modelkeep.client.addresses import DEFAULT_URL
from modelkeep.domain.values import Stage
from modelkeep.program import program
from tests.client.test_cli_imports import _python
from tests.support.faults.network import answers, problem, sleeps
from tests.support.faults.proxy import Proxy
from tests.support.manual_tables import walk_commands
from tests.support.processes.cli import Cli
from tests.support.processes.terminal import terminal, why_no_terminal
from tests.support.programs import EXECUTABLE, clean_environment
from tests.support.servers import free_port

Write = Callable[..., Path]


def complete(url: str, *words: str, variables: Mapping[str, str] | None = None) -> list[str]:
    """What bash is told of the last word; the words are those that readline takes for words."""
    typed = ["modelkeep", *words]
    protocol = {
        "_MODELKEEP_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(typed),
        "COMP_CWORD": str(len(typed) - 1),
    }
    environment = clean_environment({"MODELKEEP_URL": url, **protocol, **(variables or {})})
    done = subprocess.run([EXECUTABLE], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def registered(url: str, model: str, write: Write) -> str:
    cli = Cli(url)
    for _ in range(3):
        cli.does("register", model, write(10))
    cli.does("promote", model, 2)
    cli.does("alias", "set", model, "champion", 2)
    cli.does("alias", "set", model, "canary", 3)
    return model


# by the protocol


def test_names_refs_and_aliases_are_completed(url: str, registered: str) -> None:
    refs = ["production", "latest", "canary", "champion", "3", "2", "1"]
    assert complete(url, "show", registered[:-1]) == [registered]
    assert complete(url, "alias", "list", registered[:-1]) == [registered]
    assert registered in complete(url, "list", "")
    assert sorted(complete(url, "download", registered, "")) == sorted(refs)
    assert complete(url, "promote", registered, "c") == ["canary", "champion"]
    assert complete(url, "diff", registered, "2", "la") == ["latest"]
    assert complete(url, "alias", "rm", registered, "") == ["canary", "champion"]
    assert complete(url, "alias", "set", registered, "ch") == ["champion"]
    assert complete(url, "alias", "set", registered, "new", "3") == ["3"]


def test_after_an_at_sign_the_answer_begins_with_it_as_bash_replaces_it(url: str, registered: str) -> None:
    assert complete(url, "show", registered, "@", "ca") == ["@canary"]
    assert complete(url, "show", registered, "@")[0] == "@production"
    assert complete(url, "alias", "set", registered, "@", "3", "ch") == ["champion"]


def test_after_options_the_commands_complete_too(url: str, registered: str) -> None:
    assert complete(url, "download", "--dry-run", registered[:-1]) == [registered]
    assert complete(url, "promote", "--only-newer", registered, "cham") == ["champion"]
    assert complete("", "--url", url, "show", registered[:-1]) in ([registered], [])


def test_what_the_registry_does_not_know_is_completed_by_the_commands(url: str, registered: str) -> None:
    assert complete(url, "prom") == ["promote"]
    assert complete(url, "promote", registered, "@", "2", "arch") == ["archived"]
    assert complete(url, "promote", registered, "2", "arch") == ["archived"]
    assert complete(url, "promote", "--only-newer", f"{registered}@2", "arch") == ["archived"]
    assert complete(url, "register", registered, "./") == []


def test_of_many_versions_there_are_the_newest(proxy: Proxy) -> None:
    model: dict[str, Any] = {"production_version": None, "latest_version": 300, "aliases": {}}
    proxy.when("GET", r"/v1/models/m\Z", answers(200, json.dumps(model)))
    proxy.when("GET", r"/v1/models/m/versions", answers(200, '{"items": [{"version": 300}, {"version": 298}]}'))
    assert complete(proxy.url, "show", "m", "") == ["latest", "300", "298"]
    assert proxy.seen[-1].query == "limit=20"


def test_it_asks_with_the_token(proxy: Proxy, token: str, model: str, write: Write, tmp_path: Path) -> None:
    Cli(proxy.url).does("register", model, write(10))
    (tmp_path / "token").write_text(f"{token}\n")
    for variables in ({"MODELKEEP_TOKEN": token}, {"MODELKEEP_TOKEN_FILE": str(tmp_path / "token")}):
        proxy.seen.clear()
        assert complete(proxy.url, "show", model[:-1], variables=variables) == [model]
        (asked,) = proxy.seen
        assert asked.headers["authorization"] == f"Bearer {token}"


# where there is no answer


@pytest.mark.parametrize(
    "words", [["show", ""], ["show", "m", "@", "p"], ["promote", "m", ""], ["alias", "rm", "m", ""]]
)
def test_where_nothing_listens_nothing_is_said(words: list[str]) -> None:
    assert complete(f"http://127.0.0.1:{free_port()}", *words) == []


@pytest.mark.parametrize(
    "url", ["registry:8000", "http://", "http://user:pw@registry", "https://127.0.0.1:x", "http://registry.invalid"]
)
def test_at_a_wrong_address_nothing_is_said(url: str) -> None:
    assert complete(url, "show", "m") == []


@pytest.mark.parametrize(
    "fault",
    [
        answers(200, "<html>It works!</html>"),
        answers(200, "[1, 2]"),
        answers(200, '{"items": [{"name": 1}]}'),
        answers(200, '{"items": [{"model": 1}]}'),
        answers(302, "", location="http://elsewhere"),
        problem(401, "invalid_token"),
        problem(503, "unavailable"),
        sleeps(1),
    ],
)
def test_other_answers_than_names_and_late_ones_are_none(proxy: Proxy, fault: Any) -> None:
    proxy.when("GET", ".*", fault)
    assert complete(proxy.url, "show", "") == []
    assert len(proxy.seen) == 1, "a request is not repeated"


def test_a_registry_cannot_have_a_shell_do_anything(proxy: Proxy) -> None:
    names = ["fine", "$(touch x)", "`id`", "a;b", "a b", "*", "~root", "a'b", "--force", "-x", "", "é"]
    proxy.when("GET", ".*", answers(200, json.dumps({"items": [{"model": name} for name in names]})))
    assert complete(proxy.url, "show", "") == ["fine"]


def test_a_token_that_is_none_is_no_error(proxy: Proxy, tmp_path: Path) -> None:
    for variables in ({"MODELKEEP_TOKEN": "a\r\nb"}, {"MODELKEEP_TOKEN_FILE": str(tmp_path / "absent")}):
        assert complete(proxy.url, "show", "", variables=variables) == []
    assert proxy.seen == []


def test_words_that_are_quoted_are_no_error(dev_url: str) -> None:
    for words in (["show", '"m'], ["show", "m\\ "], ["show", "'"]):
        complete(dev_url, *words)


# how


def test_it_loads_none_of_what_takes_long(proxy: Proxy) -> None:
    proxy.when("GET", ".*", answers(200, '{"items": [{"model": "fraud"}]}'))
    run = "import os, sys; os.environ.update(_MODELKEEP_COMPLETE='complete_bash', COMP_WORDS='modelkeep show fr',"
    run += f" COMP_CWORD='2', MODELKEEP_URL='{proxy.url}')\nfrom modelkeep.start import main; main()\n"
    name, modules = _python(run + "print(*sorted(sys.modules))").splitlines()
    assert name == "fraud"
    assert not {"typer", "rich", "httpx", "pydantic", "asyncio", "modelkeep.program"} & set(modules.split())


@pytest.mark.parametrize(
    ("words", "cursor", "typed", "broken_off"),
    [
        (["modelkeep", "show", "m"], 2, ["show", "m"], ""),
        (["modelkeep", "show"], 2, ["show", ""], ""),
        (["modelkeep", "show", "m", "@", "pro"], 4, ["show", "m@pro"], "m"),
        (["modelkeep", "show", "m", "@"], 3, ["show", "m@"], "m"),
        (["modelkeep", "promote", "m", "@", "1", "pr"], 5, ["promote", "m@1", "pr"], ""),
        (["modelkeep", "show", "m", "later"], 2, ["show", "m"], ""),
    ],
)
def test_words_that_readline_breaks_are_joined(
    words: list[str], cursor: int, typed: list[str], broken_off: str
) -> None:
    assert joined(words, cursor) == (typed, broken_off)


def test_the_arguments_of_the_commands_are_those_that_bash_is_told_of() -> None:
    kinds = {"NAME": MODEL, "[NAME]": MODEL, "NAME[@REF]": VERSION_OF, "[VERSION]": REF, "NAME[@A]": VERSION_OF}
    kinds |= {"[A]": REF, "B": REF, "VERSION": REF, "ALIAS": ALIAS, "stage": STAGE, "OTHER": MODEL}
    of_deleted_or_open = {("restore",), ("abandon",)}
    for name, command in walk_commands(typer.main.get_command(program)):
        given = [
            parameter.metavar or parameter.name
            for parameter in command.params
            if parameter.param_type_name == "argument"
        ]
        found = [kinds[metavar] for metavar in given if metavar in kinds]
        words = tuple(name.split())
        if words in of_deleted_or_open:
            assert ARGUMENTS[words] == (MODEL,), name
        elif found:
            assert list(ARGUMENTS[words]) == found, name
        else:
            assert words not in ARGUMENTS, name


def test_what_is_written_twice_to_save_imports_is_the_same() -> None:
    assert completion._DEFAULT_URL == DEFAULT_URL
    assert tuple(Stage) == completion._STAGES


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_as_well(url: str, registered: str, shell: str) -> None:
    variables = {"_MODELKEEP_COMPLETE": f"complete_{shell}", "MODELKEEP_URL": url}
    variables |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    for typed, wanted in (
        (f"show {registered}@cham", f"{registered}@champion"),
        (f"promote {registered} ca", "canary"),
    ):
        environment = clean_environment(variables | {"_TYPER_COMPLETE_ARGS": f"modelkeep {typed}"})
        done = subprocess.run([EXECUTABLE], env=environment, capture_output=True, text=True, check=True)
        assert (wanted in done.stdout, done.stderr) == (True, "")


def test_in_bash_itself(dev_url: str, write: Write, tmp_path: Path, model: str) -> None:
    if missing := why_no_terminal():
        pytest.skip(missing)
    cli = Cli(dev_url)
    cli.does("register", model, write(10))
    cli.does("alias", "set", model, "champion", 1)
    script = tmp_path / "completion.bash"
    script.write_text("\n".join(cli.does("--show-completion", "bash")))
    with terminal(tmp_path, dict(cli.environment) | {"PATH": f"{Path(EXECUTABLE).parent}:/usr/bin:/bin"}) as screen:
        screen.press(f"source {script}")
        screen.press("Enter")
        screen.until(lambda lines: lines[-1:] == ["ready 2>"])
        screen.press(f"modelkeep show {model[:-1]}")
        screen.press("Tab")
        screen.until(lambda lines: lines[-1] == f"ready 2>modelkeep show {model}")
        screen.press("BSpace")
        screen.press("@ch")
        screen.press("Tab")
        seen = screen.until(lambda lines: re.search("champion", lines[-1]) is not None)
    assert seen[-1] == f"ready 2>modelkeep show {model}@champion"
