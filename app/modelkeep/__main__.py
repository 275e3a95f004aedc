"""The program `modelkeep`."""

import typer

from modelkeep.admin.access_commands import commands as access_commands
from modelkeep.admin.commands import commands as operator_commands
from modelkeep.cli.commands import commands as client_commands
from modelkeep.cli.options import read_options
from modelkeep.cli.program import Program

program = typer.Typer(
    name="modelkeep",
    help="A model registry: one production version per model, at every instant.",
    cls=Program,
    callback=read_options,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
program.add_typer(client_commands)
program.add_typer(operator_commands)
program.add_typer(access_commands)

if __name__ == "__main__":
    program()
