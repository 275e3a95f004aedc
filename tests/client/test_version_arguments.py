"""A version is named the same way in every command: `NAME@REF`, or the ref beside the name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import RegistryClient
from tests.support.processes.cli import Cli

Write = Callable[..., Path]


@pytest.fixture
def cli(url: str) -> Cli:
    """The command line of each backend."""
    return Cli(url)


@pytest.fixture
def registered(cli: Cli, model: str, write: Write) -> str:
    """A model with three versions; the second is production, and has an alias."""
    for _ in range(3):
        cli.does("register", model, write(1000))
    cli.does("promote", model, 2)
    cli.does("alias", "set", model, "champion", 2)
    return model


def test_reading_takes_a_ref_at_the_name_or_beside_it(cli: Cli, registered: str, tmp_path: Path) -> None:
    commit = cli.answer("show", f"{registered}@v3")["commit"]
    for ref, number in {"3": 3, "v3": 3, "latest": 3, "production": 2, "champion": 2, commit: 3}.items():
        for words in ([f"{registered}@{ref}"], [registered, ref], [f"{registered}@{ref}", ref]):
            assert cli.answer("show", *words)["version"] == number
        assert cli.answer("download", registered, ref, "--dest", tmp_path)["version"] == number
    assert cli.answer("download", f"{registered}@v3", "3", "--version", "v3", "--dest", tmp_path)["version"] == 3


@pytest.mark.parametrize(
    "words", [["{}@latest"], ["{}", "latest"], ["{}@v3"], ["{}@3", "v3"], ["{}@latest", "staging"]]
)
def test_a_promotion_takes_any_ref(cli: Cli, registered: str, words: list[str]) -> None:
    moved = cli.answer("promote", *[word.format(registered) for word in words])
    assert (moved["version"], moved["stage"]) == (3, "staging" if "staging" in words else "production")


def test_the_stage_follows_the_name_with_a_ref(cli: Cli, registered: str) -> None:
    assert cli.answer("promote", f"{registered}@champion", "archived")["stage"] == "archived"
    assert cli.answer("promote", f"{registered}@2", "v2", "production")["stage"] == "production"


def test_every_other_change_takes_a_ref(cli: Cli, registered: str) -> None:
    assert cli.answer("edit", f"{registered}@champion", "--tag", "a=1")["version"] == 2
    assert cli.answer("edit", registered, "latest", "--tag", "a=1")["version"] == 3
    assert cli.answer("alias", "set", f"{registered}@latest", "canary")["version"] == 3
    assert cli.answer("alias", "set", registered, "canary", "champion")["version"] == 2
    assert cli.answer("delete", f"{registered}@latest", "--yes") == {"model": registered, "version": 3}
    assert cli.answer("restore", f"{registered}@3")["version"] == 3


def test_what_is_changed_is_the_number_that_the_ref_had(
    cli: Cli, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between resolving and changing, the alias moves."""
    find = RegistryClient.get_version

    def find_and_move(self: RegistryClient, model: str, version: str) -> object:
        found = find(self, model, version)
        self.set_alias(model, "champion", 1)
        return found

    monkeypatch.setattr(RegistryClient, "get_version", find_and_move)
    assert cli.answer("promote", f"{registered}@champion", "archived")["version"] == 2


def test_a_ref_that_names_nothing_changes_nothing(cli: Cli, registered: str) -> None:
    assert cli.refusal("delete", f"{registered}@absent", "--yes")[0] == "version_not_found"
    assert len(cli.answer("list", registered)) == 3


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("promote m", "say which version of m, as m@4."),
        ("promote m staging", "'staging' is a stage. Write the version before it: m@4 staging."),
        ("promote m@ archived", "there is no version after the @ of 'm@'. Write m@4, or m alone."),
        ("promote m@3 4 staging", "'3' and '4' are two versions. Write m@3 or m@4."),
        ("alias set m canary", "say which version of m, as m@4."),
        ("show m@latest 4", "'latest' and '4' are two versions. Write m@latest or m@4."),
        ("edit m@4 latest --tag a=1", "'4' and 'latest' are two versions. Write m@4 or m@latest."),
        ("delete m@ --yes", "there is no version after the @ of 'm@'. Write m@4, or m alone."),
        ("restore m@latest", "'latest' is no version number. Write it as 4 or v4."),
        ("download m@3 --version 4", "'3' and '4' are two versions. Write m@3 or m@4."),
        ("download m 3 --version 4", "'3' and '4' are two versions. Write m@3 or m@4."),
    ],
)
def test_what_names_no_version_or_two_is_a_mistake(dev_url: str, command: str, sentence: str) -> None:
    code, said = Cli(dev_url).refusal(*command.split(), status=2)
    assert (code, said.partition(": ")[2]) == ("usage", sentence)


def test_two_versions_are_named_as_one_is(cli: Cli, registered: str) -> None:
    asked = ([registered, 2, "v3"], [f"{registered}@champion", 3], [f"{registered}@2", f"{registered}@latest"])
    for words in asked:
        found = cli.answer("diff", *words)
        assert (found["model"], found["a"], found["b"]) == (registered, 2, 3), words


@pytest.mark.parametrize("words", ["m", "m 1", "m@1", "m@1 2 3"])
def test_a_comparison_says_how_two_versions_are_written(dev_url: str, words: str) -> None:
    code, sentence = Cli(dev_url).refusal("diff", *words.split(), status=2)
    assert (code, "say which two versions of m, as m 6 7 or m@6 7." in sentence) == ("usage", True)


@pytest.mark.parametrize(
    "command", ["list m@1", "history m@1", "uploads m@1", "rollback m@1", "alias list m@1", "register m@1 there"]
)
def test_what_is_for_a_model_says_so_of_a_version(dev_url: str, command: str) -> None:
    code, sentence = Cli(dev_url).refusal(*command.split(), status=2)
    assert (code, "this is for a model, and 'm@1' is a version of one. Write m." in sentence) == ("usage", True)
