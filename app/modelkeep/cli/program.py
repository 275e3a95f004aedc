"""The root of the command line: which commands there are, and how each of them ends."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

from modelkeep.cli.exit_status import exit_on_error
from modelkeep.cli.output import escape_what_cannot_be_encoded

CLIENT_PANEL: Final = "Client"
OPERATOR_PANEL: Final = "Operate"

_MAY_BE_EMPTY: Final = ("--description", "--comment")
_TYPED: Final = f"{__name__}.typed"
"""The key of the context's `meta` that holds everything after the program's name."""


class Program(TyperGroup):
    """The client's commands, and the operator's once one of them is named or help lists all.

    Every failure ends in a sentence and an exit status.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _set_panel(self.commands, CLIENT_PANEL)
        self._is_complete = False

    def load_operator_commands(self) -> typer.Typer:
        """Import the operator's commands. The command line itself has none: a subclass returns them."""
        return typer.Typer()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or `None`."""
        if cmd_name not in self.commands:
            self._complete()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        self._complete()
        return super().list_commands(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the options before the command. From here on, output that cannot be encoded is escaped."""
        escape_what_cannot_be_encoded()
        ctx.meta[_TYPED] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with exit_on_error(ctx):
            _refuse_empty(ctx.meta[_TYPED])
            return super().invoke(ctx)

    def _complete(self) -> None:
        if not self._is_complete:
            operator_commands = get_group(self.load_operator_commands()).commands
            _set_panel(operator_commands, OPERATOR_PANEL)
            self.commands.update(operator_commands)
            self._is_complete = True


def _set_panel(commands: Mapping[str, Any], panel: str) -> None:
    for command in commands.values():
        command.rich_help_panel = panel


def _refuse_empty(typed: Sequence[str]) -> None:
    """Raise `BadParameter` for an empty value: a variable of a script that is not set gives that."""
    for before, value in pairwise(["modelkeep", *typed]):
        option, equals, given = value.partition("=")
        if equals and not given and option.startswith("--") and option not in _MAY_BE_EMPTY:
            raise typer.BadParameter("it is empty. Is a variable not set?", param_hint=f"'{option}'")
        if not value and before not in _MAY_BE_EMPTY:
            raise typer.BadParameter("it is empty. Is a variable not set?", param_hint=f"what follows '{before}'")
