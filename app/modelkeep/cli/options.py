"""The options before a command: which registry, and how to print."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer


class Output(StrEnum):
    """The form of standard output."""

    HUMAN = "human"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one run. With `as_json`, standard output is one JSON document and nothing else."""

    url: str | None
    as_json: bool
    quiet: bool


def examples(*commands: str) -> str:
    """What ends the help of a command: how it is typed."""
    return "\n\n".join(["Examples:", *commands])


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"modelkeep {version('modelkeep')}")
        raise typer.Exit


def read_options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="MODELKEEP_URL", metavar="URL", help="The registry's address.")
    ] = None,
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Print tables, or one JSON document.")
    ] = Output.HUMAN,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")] = False,
    version: Annotated[  # noqa: ARG001 -- acts by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Store the options for the command that follows."""
    context.obj = Options(url=url, as_json=output is Output.JSON, quiet=quiet)


def options_of(context: typer.Context) -> Options:
    """The options of this run."""
    options: Options = context.obj
    return options
