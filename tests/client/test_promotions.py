"""A change of stages says what it has replaced, and that nothing was to be done."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import RegistryClient
from modelkeep.domain.errors import ModelNotFoundError
from tests.support.processes.cli import Cli

Write = Callable[..., Path]

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def cli(url: str) -> Cli:
    """The command line of each backend."""
    return Cli(url)


@pytest.fixture
def registered(url: str, model: str, write: Write) -> str:
    """A model with three versions in staging."""
    with RegistryClient(url) as registry:
        for _ in range(3):
            registry.register(model, write(100))
    return model


def said_by(cli: Cli, *arguments: object) -> str:
    (said,) = cli.does(*arguments)
    return re.sub(MOMENT, "T", said)


def test_a_promotion_names_the_version_that_it_replaced(cli: Cli, registered: str) -> None:
    assert said_by(cli, "promote", registered, 1) == f"{registered} v1 is in stage production"
    since = re.escape(cli.answer("show", registered, 1)["stage_changed_at"][:19])
    (said,) = cli.does("promote", registered, 2)
    assert re.fullmatch(rf"{registered} v2 is in stage production; v1, production since {since}Z, is archived", said)
    assert said_by(cli, "promote", registered, 3, "archived") == f"{registered} v3 is in stage archived"


def test_what_was_so_before_is_said(cli: Cli, registered: str) -> None:
    cli.does("promote", registered, 1)
    assert said_by(cli, "promote", registered, 2, "staging") == f"{registered} v2 is in stage staging"
    before = cli.answer("history", registered)
    assert said_by(cli, "promote", registered, 1) == f"{registered} v1 is in stage production already, since T"
    assert said_by(cli, "promote", registered, 2, "staging") == f"{registered} v2 is in stage staging already, since T"
    assert cli.answer("history", registered) == before


def test_a_demotion_says_that_nothing_is_production(cli: Cli, registered: str) -> None:
    cli.does("promote", registered, 1)
    said = said_by(cli, "promote", registered, 1, "archived")
    assert said == f"{registered} v1 is in stage archived; {registered} has no production version now"


def test_a_rollback_and_a_registration_say_it_too(cli: Cli, registered: str, write: Write) -> None:
    cli.does("promote", registered, 1)
    said = cli("register", registered, write(100), "--promote", "production").err[-1]
    effect = "is in stage production; v1, production since T, is archived"
    assert re.sub(MOMENT, "T", said) == f"{registered} v4 {effect}"
    said = said_by(cli, "rollback", registered)
    assert said == f"{registered} v1 is in stage production again; v4, production since T, is archived"


def test_one_that_came_between_is_the_one_that_is_named(
    cli: Cli, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.does("promote", registered, 1)
    promote = RegistryClient.promote

    def promote_another_first(
        self: RegistryClient, model: str, version: int, *arguments: str, **options: object
    ) -> object:
        promote(self, model, 2)
        return promote(self, model, version, *arguments)

    monkeypatch.setattr(RegistryClient, "promote", promote_another_first)
    assert said_by(cli, "promote", registered, 3) == f"{registered} v3 is in stage production; v2 is archived"


def test_who_may_not_read_may_promote(cli: Cli, registered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: RegistryClient, model: str) -> None:
        raise ModelNotFoundError(model)

    monkeypatch.setattr(RegistryClient, "get_model", refuse)
    assert said_by(cli, "promote", registered, 3) == f"{registered} v3 is in stage production"
