"""The root of the command line: which commands there are, what all of them take, and how each of them ends."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

from modelkeep.cli.exit_status import TYPED, exit_on_error
from modelkeep.cli.global_options import complete_options, show_flags_without_value
from modelkeep.cli.output import escape_what_cannot_be_encoded

CLIENT_PANEL: Final = "Client"
OPERATOR_PANEL: Final = "Operate"

_MAY_BE_EMPTY: Final = ("--description", "--comment")


class Program(TyperGroup):
    """The client's commands, and the operator's once one of them is named or help lists all.

    Every failure ends in a sentence and an exit status.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._prepare(self.commands, CLIENT_PANEL)
        self._is_complete = False

    def load_operator_commands(self) -> typer.Typer:
        """Import the operator's commands. The command line itself has none: a subclass returns them."""
        return typer.Typer()

    def open_storage(self) -> Any:
        """The storage that the environment names, with the client's methods on tokens and rules.

        The command line itself reaches none: a subclass returns it, or raises `ModuleNotFoundError`.
        """
        raise NotImplementedError

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
        show_flags_without_value(self)
        ctx.meta[TYPED] = tuple(args)
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        with exit_on_error(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with exit_on_error(ctx):
            _refuse_empty(ctx.meta[TYPED])
            return super().invoke(ctx)

    def _complete(self) -> None:
        if not self._is_complete:
            operator_commands = get_group(self.load_operator_commands()).commands
            self._prepare(operator_commands, OPERATOR_PANEL)
            self.commands.update(operator_commands)
            self._is_complete = True

    def _prepare(self, commands: Mapping[str, Any], panel: str) -> None:
        complete_options(commands.values(), self.params)
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
