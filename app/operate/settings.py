"""Settings for commands: faults of the environment become sentences."""

import typer
from pydantic import ValidationError

from app.settings import Settings


def read_settings() -> Settings:
    """Read the environment. Ends the program with status 2 and a sentence for each fault."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = "".join(f"REGISTRY_{str(part).upper()}: " for part in fault["loc"])
            typer.echo(f"{name}{fault['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None
