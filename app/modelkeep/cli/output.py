"""Where output goes: what was asked for to standard output, everything else to standard error.

On a terminal there are colours and tables that fit its width. Elsewhere lines are plain and as long as they are.
"""

import json
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.text import Text

from modelkeep.cli.options import options_of

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_ENDLESS: Final = 100_000
"""A width that no line reaches."""


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def console(*, err: bool = False) -> Console:
    """A console that writes to standard output or standard error, and takes no text for markup."""
    on_terminal = (sys.stderr if err else sys.stdout).isatty()
    width = None if on_terminal else _ENDLESS
    return Console(
        stderr=err, force_terminal=on_terminal, width=width, markup=False, highlight=False, emoji=False, soft_wrap=True
    )


def answer(context: typer.Context, found: Answer, human: Callable[[Answer], RenderableType]) -> None:
    """Print what was asked for, as one JSON document or for people."""
    if options_of(context).as_json:
        document(found)
    else:
        show(human(found))


def listed(
    context: typer.Context, found: list[Item], human: Callable[[list[Item]], RenderableType], nothing: str
) -> None:
    """Print a list as `answer` does; for people, an empty one is a remark."""
    if found or options_of(context).as_json:
        answer(context, found, human)
    else:
        notice(context, nothing)


def document(found: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(_plain(found), indent=2))


def show(found: RenderableType) -> None:
    """Print for people."""
    screen = console()
    with screen.capture() as captured:
        screen.print(found, soft_wrap=isinstance(found, str | Text))
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def notice(context: typer.Context, sentence: str) -> None:
    """Say on standard error what went well, unless that is not wanted."""
    options = options_of(context)
    if not options.quiet and not options.as_json:
        console(err=True).print(sentence)


def _plain(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump(mode="json")
    return [_plain(each) for each in found] if isinstance(found, list) else found
