"""The client's commands, as they are typed."""

import typer

from modelkeep.cli.mutations import changing
from modelkeep.cli.queries import reading
from modelkeep.cli.transfers import transfers

commands = typer.Typer()
for group in (transfers, reading, changing):
    commands.add_typer(group)
