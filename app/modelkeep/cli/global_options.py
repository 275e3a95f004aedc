"""The options of the program itself, which are taken after a command's name as well as before it."""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Final

import typer

from modelkeep.cli.options import read_options

GLOBAL_PANEL: Final = "Options of every command"

HELP_OPTIONS: Final = ["--help", "-h"]

_BEFORE_COMMANDS_ONLY: Final = frozenset({"version"})


def complete_options(commands: Iterable[Any], options: Sequence[Any]) -> None:
    """Let each command, and each below it, take the program's options; a command's own of the same name stays.

    In the help, flags are shown without a value.
    """
    for command in commands:
        own = {name for parameter in command.params for name in parameter.opts}
        command.params += [
            _repeated(option)
            for option in options
            if option.name not in _BEFORE_COMMANDS_ONLY and not own & set(option.opts)
        ]
        show_flags_without_value(command)
        complete_options(getattr(command, "commands", {}).values(), options)


def show_flags_without_value(command: Any) -> None:
    """Show each flag of a command without the word `<bool>`, which looks as if a value had to follow."""
    context = typer.Context(command, help_option_names=HELP_OPTIONS)
    for parameter in command.get_params(context):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""


def _repeated(option: Any) -> Any:
    repeated = copy(option)
    repeated.is_eager, repeated.expose_value, repeated.callback = True, False, _store
    repeated.rich_help_panel = GLOBAL_PANEL
    return repeated


def _store(context: typer.Context, option: Any, value: Any) -> Any:
    """Let a value that was typed after the command's name win over that before it, and over the environment's."""
    source = context.get_parameter_source(option.name)
    if source is not None and source.name == "COMMANDLINE":
        given = context.find_root().params
        given[option.name] = value
        read_options(context, **given)
    return value
