"""Output: the answer of a command to standard output, everything else to standard error.

On a terminal there are colours, and tables as wide as it is. Elsewhere lines are plain and never truncated.
"""

import sys
from collections.abc import Callable, Iterable
from io import TextIOWrapper
from typing import Any, Final, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from modelkeep.cli.options import options_of
from modelkeep.cli.records import formatted
from modelkeep.kit.text import escaped_lines

Answer = TypeVar("Answer")
Item = TypeVar("Item")

UNLIMITED_WIDTH: Final = 100_000
"""Wider than any line."""


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def escape_what_cannot_be_encoded() -> None:
    """Let standard output and standard error write an escape for a character that their encoding does not have.

    The C locale's handler of errors stays: there, a path comes out by the bytes that it has.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def console(*, err: bool = False) -> Console:
    """A console on standard output or standard error, without markup."""
    on_terminal = (sys.stderr if err else sys.stdout).isatty()
    width = None if on_terminal else UNLIMITED_WIDTH
    return Console(
        stderr=err, force_terminal=on_terminal, width=width, markup=False, highlight=False, emoji=False, soft_wrap=True
    )


def answer(context: typer.Context, found: Answer, human: Callable[[Answer], RenderableType]) -> None:
    """Print the answer of a command in the form that was asked for; for people, as `human` formats it."""
    if options_of(context).for_programs:
        print_for_programs(context, found)
    else:
        print_text(human(found))


def answer_list(
    context: typer.Context,
    found: list[Item],
    human: Callable[[list[Item]], RenderableType],
    if_empty: str,
    *,
    columns: Iterable[str] = (),
) -> None:
    """Print a list as `answer` does; an empty one is the notice `if_empty` for people, a header in CSV."""
    if options_of(context).for_programs:
        print_for_programs(context, found, columns=columns)
    elif found:
        print_text(human(found))
    else:
        notice(context, if_empty)


def print_for_programs(context: typer.Context, found: Any, *, columns: Iterable[str] = ()) -> None:
    """Print an answer as JSON, JSON Lines or CSV."""
    for line in formatted(found, options_of(context).output, columns=columns):
        typer.echo(line)


def print_text(found: RenderableType) -> None:
    """Print for people, without trailing spaces."""
    screen = console()
    with screen.capture() as captured:
        screen.print(found, soft_wrap=isinstance(found, str | Text), crop=False)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def notice(context: typer.Context, sentence: str) -> None:
    """Print a remark to standard error, unless `--quiet` or a form for programs was asked for."""
    options = options_of(context)
    if not options.quiet and not options.for_programs:
        console(err=True).print(escaped_lines(sentence))
