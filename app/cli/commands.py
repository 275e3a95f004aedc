"""The client's commands, as they are typed."""

import typer

from app.cli.changing import changing
from app.cli.reading import reading
from app.cli.transfers import transfers

commands = typer.Typer()
for group in (transfers, reading, changing):
    commands.add_typer(group)
