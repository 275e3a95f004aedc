"""The program `modelkeep`."""

from typing import Any

import typer

from modelkeep.cli.commands import commands as client_commands
from modelkeep.cli.global_options import HELP_OPTIONS
from modelkeep.cli.options import read_options
from modelkeep.cli.program import Program


class Modelkeep(Program):
    """All commands. Those of the operator, and what they import, are loaded only when they are needed."""

    def load_operator_commands(self) -> typer.Typer:
        """Import the commands of `modelkeep.admin`."""
        from modelkeep.admin.commands import commands as operator_commands  # noqa: PLC0415 -- a client needs none
        from modelkeep.cli.docs import commands as docs_commands  # noqa: PLC0415

        commands = typer.Typer()
        for group in (operator_commands, docs_commands):
            commands.add_typer(group)
        return commands

    def open_storage(self) -> Any:
        """Import what works on the storage itself."""
        from modelkeep.admin.direct_access import DirectAccess  # noqa: PLC0415 -- a client needs none

        return DirectAccess()


program = typer.Typer(
    name="modelkeep",
    help="A model registry: one production version per model, at every instant.",
    cls=Modelkeep,
    callback=read_options,
    context_settings={"help_option_names": HELP_OPTIONS},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
program.add_typer(client_commands)
