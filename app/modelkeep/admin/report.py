"""Prints what a command finds: a sentence each, as it comes; or everything as one JSON document."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import fields
from typing import Any

import typer

from modelkeep.admin.wording import sentence
from modelkeep.cli.options import Output, options_of
from modelkeep.cli.output import print_for_programs
from modelkeep.services.maintenance.findings import Finding


def print_findings(
    context: typer.Context, *sources: AsyncIterable[Finding], summary: Callable[[Sequence[Finding]], str] | None = None
) -> Sequence[Finding]:
    """Print all findings of the sources, one source after the other, and a summary; return them.

    The document is `{"complete": bool, "count": int, "findings": [{"code": str, "detail": sentence, …fields}]}`. If a
    source raises, the document has what was found until then, and is not `complete`; without any finding there is none.
    JSON Lines and CSV have a line for each finding.
    """
    options = options_of(context)
    found = asyncio.run(_print(context, sources, for_programs=options.for_programs))
    if summary and not options.for_programs:
        typer.echo(summary(found))
    return found


async def _print(
    context: typer.Context, sources: tuple[AsyncIterable[Finding], ...], *, for_programs: bool
) -> Sequence[Finding]:
    found: list[Finding] = []
    complete = False
    try:
        for source in sources:
            async for finding in source:
                found.append(finding)
                if not for_programs:
                    typer.echo(sentence(finding))
        complete = True
    finally:
        if for_programs and (complete or found):
            entries = [_entry(finding) for finding in found]
            document = {"complete": complete, "count": len(found), "findings": entries}
            print_for_programs(context, document if options_of(context).output is Output.JSON else entries)
    return found


def _entry(finding: Finding) -> dict[str, Any]:
    own = {field.name: getattr(finding, field.name) for field in fields(finding)}
    return {"code": finding.code(), "detail": sentence(finding), **own}
