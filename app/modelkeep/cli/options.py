"""What may stand before every command: which registry, and how to answer."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer


class Output(StrEnum):
    """What standard output is for."""

    HUMAN = "human"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one run. `as_json` says that standard output carries one document and nothing else."""

    url: str | None
    as_json: bool
    quiet: bool


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"modelkeep {version('modelkeep')}")
        raise typer.Exit


def read_options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="MODELKEEP_URL", metavar="URL", help="The registry's address.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Tables, or one JSON document.")] = Output.HUMAN,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    version: Annotated[  # noqa: ARG001 -- acts by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keep the options for the command that follows."""
    context.obj = Options(url=url, as_json=output is Output.JSON, quiet=quiet)


def options_of(context: typer.Context) -> Options:
    """The options before the command that runs."""
    options: Options = context.obj
    return options
