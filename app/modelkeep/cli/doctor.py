"""`modelkeep doctor`: what stands between this machine and the registry."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from modelkeep.cli.exit_status import Status
from modelkeep.cli.options import Output, examples, options_of
from modelkeep.cli.output import print_for_programs, print_text
from modelkeep.kit.text import one_line

if TYPE_CHECKING:
    from modelkeep.client.diagnosis import Check

_STATUS: Final = {
    "invalid_address": Status.USAGE,
    "unusable_variable": Status.USAGE,
    "unreachable": Status.UNREACHABLE,
    "not_a_registry": Status.UNREACHABLE,
    "storage_unreachable": Status.UNREACHABLE,
}
"""By the code of the first fault; those of all other codes are `REFUSED`."""

_WORDS: Final = {"ok": Text("ok", "green"), "fault": Text("FAULT", "bold red"), "not_checked": Text("-", "dim")}

commands = typer.Typer()


@commands.command(epilog=examples("modelkeep doctor", "modelkeep --url https://models.example.com -o json doctor"))
def doctor(context: typer.Context) -> None:
    """Check the way to the registry and its storage, and this machine: each line is ok, or says what to do.

    Nothing is changed, here or there. The exit status is not 0 if there is a fault.
    """
    checks = asyncio.run(_all_checks(options_of(context).url))
    faults = [check for check in checks if check.code is not None]
    if options_of(context).for_programs:
        entries = [_entry(check) for check in checks]
        is_document = options_of(context).output is Output.JSON
        print_for_programs(context, {"ok": not faults, "checks": entries} if is_document else entries)
    else:
        print_text(_lines(checks))
    if faults:
        raise typer.Exit(_STATUS.get(str(faults[0].code), Status.REFUSED))


async def _all_checks(url: str | None) -> list["Check"]:
    from modelkeep.client.diagnosis import diagnose  # noqa: PLC0415 -- `--help` need not wait for the client

    return [check async for check in diagnose(url)]


def _entry(check: "Check") -> dict[str, Any]:
    return {"name": check.name, "outcome": check.outcome.value, "code": check.code, "detail": check.detail}


def _lines(checks: list["Check"]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row(_WORDS[check.outcome], check.name, one_line(check.detail))
    return table
