"""The commands that change nothing."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated

import typer
from rich.console import RenderableType

from modelkeep.cli import tables
from modelkeep.cli.arguments import Model, parse_sort, parse_tags, parse_time
from modelkeep.cli.options import examples, options_of
from modelkeep.cli.output import Item, answer, answer_list
from modelkeep.cli.session import connected
from modelkeep.cli.version_arguments import SeparateRef, VersionOf, meant
from modelkeep.domain.values import Stage

queries = typer.Typer()


@queries.command(name="list")
def list_(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The model; without it, models are listed.")
    ] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only versions in this stage.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only versions with this tag; repeat for more.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC|created", help="The highest first, or the latest; after a dash, as -loss, the lowest first."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many.")] = None,
    *,
    has_alias: Annotated[bool, typer.Option("--has-alias", help="Only versions with an alias.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print numbers only; of models, names.")] = False,
) -> None:
    """List the versions of a model, newest first; or the models."""
    if model is None and (stage or tag or sort or has_alias):
        raise typer.BadParameter("--stage, --tag, --sort and --has-alias are for versions. Name their model.")
    quiet = quiet or options_of(context).quiet
    with connected(context) as registry:
        if model is None:
            models = registry.list_models(limit=limit)
            _print_list(context, models, tables.models, "There are no models yet.", [it.model for it in models], quiet)
            return
        versions = registry.list_versions(
            model,
            stage=stage,
            tags=parse_tags(tag or []),
            alias="*" if has_alias else None,
            sort=None if sort is None else parse_sort(sort),
            limit=limit,
        )
        table = partial(tables.versions, sorted_by=sort and sort.removeprefix("-"))
        numbers = [str(it.version) for it in versions]
        _print_list(context, versions, table, "There are no such versions.", numbers, quiet)


def _print_list(
    context: typer.Context,
    found: list[Item],
    table: Callable[[list[Item]], RenderableType],
    if_empty: str,
    names: list[str],
    quiet: bool,
) -> None:
    if quiet and not options_of(context).as_json:
        for name in names:
            typer.echo(name)
    else:
        answer_list(context, found, table, if_empty)


@queries.command(epilog=examples("modelkeep show fraud-detector", "modelkeep show fraud-detector@production"))
def show(
    context: typer.Context,
    name: VersionOf,
    version: SeparateRef = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=parse_time,
            help="With the ref production: what was production then, as 2026-01-31 or 2026-01-31T12:00:00Z.",
        ),
    ] = None,
) -> None:
    """Show a model, or one of its versions."""
    wanted = meant(name, version)
    if at is not None and wanted.ref is None:
        raise typer.BadParameter("a time is for a version. Write NAME@production.", param_hint="'--at'")
    with connected(context) as registry:
        if wanted.ref is None:
            answer(context, registry.get_model(wanted.model), tables.model)
        else:
            answer(context, registry.get_version(wanted.model, wanted.ref, at=at), tables.version)


@queries.command()
def diff(
    context: typer.Context,
    model: Model,
    a: Annotated[str, typer.Argument(metavar="A", help="A version: a number, production, an alias, a commit.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The version to compare with it.")],
) -> None:
    """Compare two versions: metrics with differences, tags, and files by their bytes."""
    with connected(context) as registry:
        answer(context, registry.compare_versions(model, a, b), tables.comparison)


@queries.command()
def history(
    context: typer.Context,
    model: Model,
    after: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only events after this generation.")] = None,
) -> None:
    """Show the history of a model: who changed what and when, oldest first."""
    with connected(context) as registry:
        answer_list(context, registry.list_events(model, after=after), tables.events, "Nothing happened since.")
