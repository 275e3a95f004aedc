"""The client's commands."""

import typer

from modelkeep.cli.access import access
from modelkeep.cli.doctor import commands as doctor
from modelkeep.cli.mutations import mutations
from modelkeep.cli.queries import queries
from modelkeep.cli.tokens import tokens
from modelkeep.cli.transfers import transfers

commands = typer.Typer()
for group in (transfers, queries, mutations, doctor):
    commands.add_typer(group)
commands.add_typer(tokens, name="token")
commands.add_typer(access, name="access")
