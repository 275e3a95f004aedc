"""The options before a command: which registry, and how to print."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from modelkeep.cli.version import version_line


class Output(StrEnum):
    """The form of standard output: for people, or for programs."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one run."""

    url: str | None
    output: Output
    quiet: bool

    @property
    def for_programs(self) -> bool:
        """Whether standard output is the answer in a form for programs, and nothing else."""
        return self.output is not Output.HUMAN


def examples(*commands: str) -> str:
    """What ends the help of a command: how it is typed."""
    return "\n\n".join(["Examples:", *commands])


def _print_version(is_given: bool) -> None:
    if is_given:
        typer.echo(version_line())
        raise typer.Exit


def read_options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="MODELKEEP_URL", metavar="URL", help="The registry's address.")
    ] = None,
    output: Annotated[
        Output,
        typer.Option(
            "--output", "-o", help="Print tables, or for programs: one JSON document, a line of it for each entry, CSV."
        ),
    ] = Output.HUMAN,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")] = False,
    version: Annotated[  # noqa: ARG001 -- acts by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Store the options for the command that follows."""
    context.obj = Options(url=url, output=output, quiet=quiet)


def options_of(context: typer.Context) -> Options:
    """The options of this run."""
    options: Options = context.obj
    return options
