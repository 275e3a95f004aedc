"""The client's commands, as they are typed."""

import typer

from modelkeep.cli.changing import changing
from modelkeep.cli.reading import reading
from modelkeep.cli.transfers import transfers

commands = typer.Typer()
for group in (transfers, reading, changing):
    commands.add_typer(group)
