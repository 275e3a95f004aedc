"""Output: the answer of a command to standard output, everything else to standard error.

On a terminal there are colours, and tables as wide as it is. Elsewhere lines are plain and never truncated.
"""

import json
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, Final, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from modelkeep.cli.options import options_of

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_UNLIMITED_WIDTH: Final = 100_000
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
    width = None if on_terminal else _UNLIMITED_WIDTH
    return Console(
        stderr=err, force_terminal=on_terminal, width=width, markup=False, highlight=False, emoji=False, soft_wrap=True
    )


def answer(context: typer.Context, found: Answer, human: Callable[[Answer], RenderableType]) -> None:
    """Print the answer of a command, as one JSON document or as `human` formats it."""
    if options_of(context).as_json:
        print_json(found)
    else:
        print_text(human(found))


def answer_list(
    context: typer.Context, found: list[Item], human: Callable[[list[Item]], RenderableType], if_empty: str
) -> None:
    """Print a list as `answer` does; an empty one, for people, is the notice `if_empty`."""
    if found or options_of(context).as_json:
        answer(context, found, human)
    else:
        notice(context, if_empty)


def print_json(found: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(_to_json(found), indent=2))


def print_text(found: RenderableType) -> None:
    """Print for people, without trailing spaces."""
    screen = console()
    with screen.capture() as captured:
        screen.print(found, soft_wrap=isinstance(found, str | Text))
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def notice(context: typer.Context, sentence: str) -> None:
    """Print a remark to standard error, unless `--quiet` or JSON was asked for."""
    options = options_of(context)
    if not options.quiet and not options.as_json:
        console(err=True).print(sentence)


def _to_json(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump(mode="json")
    return [_to_json(each) for each in found] if isinstance(found, list) else found
