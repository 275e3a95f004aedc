"""The client's commands."""

import typer

from modelkeep.cli.mutations import mutations
from modelkeep.cli.queries import queries
from modelkeep.cli.transfers import transfers

commands = typer.Typer()
for group in (transfers, queries, mutations):
    commands.add_typer(group)
