"""How a command ends that cannot do what it is told: with a sentence and a status, never with a stack trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from modelkeep.domain.errors import RegistryError


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the program with status 1 if the registry refuses, with 2 if what it was given cannot be used."""
    try:
        yield
    except RegistryError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
