"""Settings for commands: faults of the environment become sentences."""

from typing import Any

import typer
from pydantic import ValidationError

from modelkeep.settings import Settings


def read_settings(**given: Any) -> Settings:
    """Read the environment, but for what is given. Ends the program with status 2 and a sentence for each fault."""
    try:
        return Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            name = "".join(f"MODELKEEP_{str(part).upper()}: " for part in fault["loc"])
            typer.echo(f"{name}{fault['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None
