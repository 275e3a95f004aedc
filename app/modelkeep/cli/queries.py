"""The commands that change nothing."""

from datetime import datetime
from typing import Annotated

import typer

from modelkeep.cli import tables
from modelkeep.cli.arguments import Model, parse_time
from modelkeep.cli.options import examples
from modelkeep.cli.output import answer, answer_list
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
) -> None:
    """List the versions of a model, newest first; or the models."""
    if model is None and stage is not None:
        raise typer.BadParameter("a stage is of versions. Name their model.", param_hint="'--stage'")
    with connected(context) as registry:
        if model is None:
            answer_list(context, registry.list_models(), tables.models, "There are no models yet.")
        else:
            answer_list(
                context, registry.list_versions(model, stage=stage), tables.versions, "There are no such versions."
            )


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
def history(
    context: typer.Context,
    model: Model,
    after: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only events after this generation.")] = None,
) -> None:
    """Show the history of a model: who changed what and when, oldest first."""
    with connected(context) as registry:
        answer_list(context, registry.list_events(model, after=after), tables.events, "Nothing happened since.")
