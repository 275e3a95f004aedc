"""The client of one command, and how the command ends when it is interrupted."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import typer

from modelkeep.cli.exit_status import Status
from modelkeep.cli.options import options_of
from modelkeep.cli.output import console, notice
from modelkeep.domain.errors import ModelNotFoundError, RegistryError
from modelkeep.kit.proxies import UnusableVariableError
from modelkeep.kit.text import format_count, format_duration, format_size

if TYPE_CHECKING:
    from modelkeep.cli.progress import Display
    from modelkeep.client import RegistryClient


_ALIKE: Final = 0.75
_ALIKE_AMONG: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A client whose progress is displayed; `started_at` is in seconds of `time.monotonic`."""

    registry: "RegistryClient"
    display: "Display"
    context: typer.Context
    started_at: float

    def print_summary(self, done: str, *, count: int, size: int) -> None:
        """Replace the display by a line with what was transferred, and how fast."""
        self.display.close()
        seconds = max(time.monotonic() - self.started_at, 0.001)
        rate = f"{format_size(size / seconds)}/s"
        summary = f"{format_count(count, 'file')}, {format_size(size)} in {format_duration(seconds)} ({rate})"
        notice(self.context, f"{done}: {summary}")


@contextmanager
def connected(context: typer.Context) -> Iterator["RegistryClient"]:
    """Open a client of the registry that the options name. Ctrl-C ends the program at once."""
    from modelkeep.cli.progress import display  # noqa: PLC0415 -- see transferring

    with _open(context, progress=display(options_of(context))) as registry:
        try:
            yield registry
        except KeyboardInterrupt:
            _exit_at_once("Interrupted.")


@contextmanager
def transferring(context: typer.Context, jobs: int | None) -> Iterator[Transfer]:
    """Open a client for a transfer, and display its progress. Ctrl-C keeps what has arrived for the next attempt."""
    from modelkeep.cli.progress import display  # noqa: PLC0415 -- `--version` need not wait for the client

    bars = display(options_of(context))
    options = {"progress": bars} | ({} if jobs is None else {"jobs": jobs})
    started_at = time.monotonic()
    with _open(context, **options) as registry:
        try:
            with bars:
                yield Transfer(registry=registry, display=bars, context=context, started_at=started_at)
        except KeyboardInterrupt:
            _exit_at_once("Interrupted; the same command goes on where it stopped.")


@contextmanager
def _open(context: typer.Context, **options: Any) -> Iterator["RegistryClient"]:
    from modelkeep.client import RegistryClient  # noqa: PLC0415 -- see transferring

    try:
        registry = RegistryClient(options_of(context).url, **options)
    except UnusableVariableError:
        raise
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="'--url' or MODELKEEP_URL") from None
    with registry:
        try:
            yield registry
        except ModelNotFoundError as absent:
            _name_alike(context, registry, absent.model)
            raise


def _name_alike(context: typer.Context, registry: "RegistryClient", model: str) -> None:
    """Ask whether another model was meant, by likeness without regard to case.

    Among the first names that begin with the same letter, then with that in the other case, then among all.
    """
    with suppress(RegistryError):
        for prefix in (model[:1], model[:1].swapcase(), None):
            models = registry.list_models(prefix=prefix, limit=_ALIKE_AMONG)
            folded = {each.model.casefold(): each.model for each in models}
            for name in get_close_matches(model.casefold(), folded, n=1, cutoff=_ALIKE):
                notice(context, f"Did you mean '{folded[name]}'?")
                return


def _exit_at_once(sentence: str) -> None:
    """End the process without waiting for its threads, which may be in the middle of a read."""
    console(err=True).print(sentence)
    sys.stdout.flush()
    os._exit(Status.INTERRUPTED)
