"""One connection to the registry for one command, and what an interruption leaves behind."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from modelkeep.cli.exit_status import Status
from modelkeep.cli.options import options_of
from modelkeep.cli.output import console, notice
from modelkeep.kit.text import format_count, format_duration, format_size

if TYPE_CHECKING:
    from modelkeep.cli.progress import Display
    from modelkeep.client import RegistryClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A registry whose transfers are shown, and the moment when they began."""

    registry: "RegistryClient"
    display: "Display"
    context: typer.Context
    began: float

    def sum_up(self, done: str, *, count: int, size: int) -> None:
        """Say what was moved, and how fast, in the place of the display."""
        self.display.close()
        seconds = max(time.monotonic() - self.began, 0.001)
        rate = f"{format_size(size / seconds)}/s"
        moved = f"{format_count(count, 'file')}, {format_size(size)} in {format_duration(seconds)} ({rate})"
        notice(self.context, f"{done}: {moved}")


@contextmanager
def connected(context: typer.Context) -> Iterator["RegistryClient"]:
    """Open the registry that the options name. Ctrl-C ends the program at once."""
    with _opened(context) as registry:
        try:
            yield registry
        except KeyboardInterrupt:
            _leave("Interrupted.")


@contextmanager
def transferring(context: typer.Context, jobs: int | None) -> Iterator[Transfer]:
    """The same for bytes: they are shown as they move, and Ctrl-C leaves what has arrived for the next attempt."""
    from modelkeep.cli.progress import display  # noqa: PLC0415 -- `--version` need not wait for the client

    shown = display(options_of(context))
    options = {"progress": shown} | ({} if jobs is None else {"jobs": jobs})
    began = time.monotonic()
    with _opened(context, **options) as registry:
        try:
            with shown:
                yield Transfer(registry=registry, display=shown, context=context, began=began)
        except KeyboardInterrupt:
            _leave("Interrupted; the same command goes on where it stopped.")


@contextmanager
def _opened(context: typer.Context, **options: Any) -> Iterator["RegistryClient"]:
    from modelkeep.client import RegistryClient  # noqa: PLC0415 -- see transferring

    try:
        registry = RegistryClient(options_of(context).url, **options)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="'--url' or MODELKEEP_URL") from None
    with registry:
        yield registry


def _leave(sentence: str) -> None:
    """End the process here: threads may be in the middle of a read, and nobody wants to wait for them."""
    console(err=True).print(sentence)
    sys.stdout.flush()
    os._exit(Status.INTERRUPTED)
