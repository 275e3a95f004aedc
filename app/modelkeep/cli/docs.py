"""The command that shows the manual."""

import difflib
import os
from typing import Annotated

import typer

from modelkeep import manual
from modelkeep.cli.options import examples, options_of
from modelkeep.cli.output import is_terminal, print_for_programs, print_text

commands = typer.Typer()


@commands.command(epilog=examples("modelkeep docs", "modelkeep docs access"))
def docs(
    context: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="A page; without it, all topics.")] = None,
) -> None:
    """Show a page of the manual, or list its topics."""
    if topic is None:
        _list(context)
        return
    page = _find(topic)
    if options_of(context).for_programs:
        print_for_programs(context, {"topic": page.topic, "markdown": page.text})
    elif is_terminal():
        _page_on_terminal(page.text)
    else:
        typer.echo(page.text, nl=False)


def _list(context: typer.Context) -> None:
    from rich.table import Table  # noqa: PLC0415 -- help needs none of it

    pages = [manual.page(topic) for topic in manual.topics()]
    if options_of(context).for_programs:
        print_for_programs(context, [{"topic": page.topic, "summary": page.summary} for page in pages])
        return
    table = Table.grid("topic", "summary", padding=(0, 2, 0, 0))
    for page in pages:
        table.add_row(page.topic, page.summary)
    print_text(table)


def _find(topic: str) -> manual.Page:
    """The page of a topic. Raises `typer.BadParameter` with the nearest topics."""
    try:
        return manual.page(topic.lower())
    except KeyError:
        raise typer.BadParameter(f"there is no topic '{topic}'. {_suggestion(topic)}", param_hint="'TOPIC'") from None


def _suggestion(topic: str) -> str:
    known = [*manual.topics(), *manual.decisions()]
    nearest = [name for name in known if topic and topic.lower() in name]
    nearest = nearest or difflib.get_close_matches(topic.lower(), known, cutoff=0.7)
    return f"Did you mean {' or '.join(nearest)}?" if nearest else "`modelkeep docs` lists them all."


def _page_on_terminal(text: str) -> None:
    """Hand the rendered page to the pager that `PAGER` names, else to `less`, which ends at once if it fits."""
    import pydoc  # noqa: PLC0415 -- see _list

    from modelkeep.cli.markdown import rendered  # noqa: PLC0415

    os.environ.setdefault("LESS", "FRX")
    pydoc.pager(rendered(text))
