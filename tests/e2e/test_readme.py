"""The README: short, true to the program, and its links lead somewhere. Its blocks run in `tests/client`."""

import typer

from modelkeep.program import program
from tests.support.manual_tables import walk_commands
from tests.support.pages import MANUAL, README


def test_the_two_commands_stand_at_the_top() -> None:
    first, second = README.blocks("console")[0].splitlines()
    assert README.text.index(first) < 100
    assert first.startswith("pip install uv && uv run modelkeep dev ")
    assert second.startswith("pip install uv && uv run pytest ")


def test_it_is_short() -> None:
    assert len(README.text.splitlines()) <= 200


def test_every_command_is_in_its_table() -> None:
    documented = [name for names, _ in README.table("command") for name in names.split("` `")]
    assert sorted(documented) == sorted(name for name, _ in walk_commands(typer.main.get_command(program)))


def test_it_links_to_every_page_of_the_manual() -> None:
    linked = {file for file, _ in README.links()}
    assert {f"app/modelkeep/manual/{page.name}" for page in MANUAL.glob("*.md")} <= linked
