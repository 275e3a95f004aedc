"""Settings for commands: faults of the environment become sentences."""

from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

if TYPE_CHECKING:
    from modelkeep.settings import Settings


def read_settings(**given: Any) -> "Settings":
    """Read the environment, but for what is given. Ends the program with status 2 and a sentence for each fault."""
    from modelkeep.settings import Settings  # noqa: PLC0415 -- the help of a command needs none

    try:
        return Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            name = "".join(f"MODELKEEP_{str(part).upper()}: " for part in fault["loc"])
            typer.echo(f"{name}{fault['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None
