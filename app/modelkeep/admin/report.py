"""Prints what a command finds: a sentence each, as it comes; or everything as one JSON document."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import fields
from typing import Any

import typer

from modelkeep.admin.wording import sentence
from modelkeep.cli.options import options_of
from modelkeep.cli.output import print_json
from modelkeep.services.maintenance.findings import Finding


def print_findings(
    context: typer.Context, *sources: AsyncIterable[Finding], summary: Callable[[Sequence[Finding]], str] | None = None
) -> Sequence[Finding]:
    """Print all findings of the sources, one source after the other, and a summary; return them.

    The document is `{"complete": bool, "count": int, "findings": [{"code": str, "detail": sentence, …fields}]}`. If a
    source raises, the document has what was found until then, and is not `complete`; without any finding there is none.
    """
    as_json = options_of(context).as_json
    found = asyncio.run(_print(sources, as_json=as_json))
    if summary and not as_json:
        typer.echo(summary(found))
    return found


async def _print(sources: tuple[AsyncIterable[Finding], ...], *, as_json: bool) -> Sequence[Finding]:
    found: list[Finding] = []
    complete = False
    try:
        for source in sources:
            async for finding in source:
                found.append(finding)
                if not as_json:
                    typer.echo(sentence(finding))
        complete = True
    finally:
        if as_json and (complete or found):
            print_json({"complete": complete, "count": len(found), "findings": [_entry(finding) for finding in found]})
    return found


def _entry(finding: Finding) -> dict[str, Any]:
    own = {field.name: getattr(finding, field.name) for field in fields(finding)}
    return {"code": finding.code(), "detail": sentence(finding), **own}
