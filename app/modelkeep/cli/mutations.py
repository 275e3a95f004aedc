"""The commands that change what is registered."""

import sys
from typing import Annotated, Any

import typer

from modelkeep.cli import tables
from modelkeep.cli.arguments import (
    Comment,
    Expect,
    Model,
    Number,
    OptionalNumber,
    parse_metrics,
    parse_tags,
    precondition,
)
from modelkeep.cli.output import answer
from modelkeep.cli.session import connected
from modelkeep.domain.values import Stage

mutations = typer.Typer()
alias = typer.Typer(help="Set and remove movable names of versions.")
mutations.add_typer(alias, name="alias")

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.")]


@mutations.command()
def promote(
    context: typer.Context,
    model: Model,
    version: Number,
    stage: Annotated[Stage, typer.Argument(help="The stage to move it to.")] = Stage.PRODUCTION,
    expect: Expect = None,
    comment: Comment = None,
    *,
    only_newer: Annotated[
        bool, typer.Option("--only-newer", help="Refuse to replace a newer version in production.")
    ] = False,
) -> None:
    """Move a version to a stage. The version that was production is archived in the same step."""
    with connected(context) as registry:
        moved = registry.promote(model, version, stage, only_newer=only_newer, comment=comment, **precondition(expect))
        answer(context, moved, lambda it: f"{it.model} v{it.version} is in stage {it.stage}")


@mutations.command()
def rollback(context: typer.Context, model: Model, expect: Expect = None, comment: Comment = None) -> None:
    """Move the version that was production before back to production."""
    with connected(context) as registry:
        back = registry.rollback(model, comment=comment, **precondition(expect))
        answer(context, back, lambda it: f"{it.model} v{it.version} is in stage {it.stage} again")


@alias.command(name="set")
def set_alias(context: typer.Context, model: Model, alias: Alias, version: Number, comment: Comment = None) -> None:
    """Point an alias at a version."""
    with connected(context) as registry:
        pointed = registry.set_alias(model, alias, version, comment=comment)
        answer(context, pointed, lambda it: f"{it.model}@{it.alias} is v{it.version}")


@alias.command(name="rm")
def remove_alias(context: typer.Context, model: Model, alias: Alias) -> None:
    """Remove an alias."""
    with connected(context) as registry:
        registry.remove_alias(model, alias)
        answer(context, {"model": model, "alias": alias}, lambda _: f"{model}@{alias} is removed")


@mutations.command()
def edit(
    context: typer.Context,
    model: Model,
    version: OptionalNumber = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="The new description.")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="Metrics to set, as an object of numbers.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag to set; repeat for more.")] = None,
    remove_tag: Annotated[list[str] | None, typer.Option(metavar="KEY", help="A tag to remove.")] = None,
    remove_metric: Annotated[list[str] | None, typer.Option(metavar="KEY", help="A metric to remove.")] = None,
) -> None:
    """Change the description, metrics and tags of a version; without VERSION, those of the model."""
    given = {
        "description": description,
        "metrics": _merge(parse_metrics(metrics), remove_metric) if metrics or remove_metric else None,
        "tags": _merge(parse_tags(tag or []), remove_tag) if tag or remove_tag else None,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("say what to change.", param_hint="options")
    if version is None and "metrics" in changes:
        raise typer.BadParameter("metrics are of a version. Give its number.", param_hint="'VERSION'")
    with connected(context) as registry:
        if version is None:
            answer(context, registry.edit_model(model, **changes), tables.model)
        else:
            answer(context, registry.edit_version(model, version, **changes), tables.version)


def _merge(changed: dict[str, Any], removed: list[str] | None) -> dict[str, Any]:
    return changed | dict.fromkeys(removed or [])


@mutations.command()
def delete(
    context: typer.Context,
    model: Model,
    version: OptionalNumber = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a version, or a model with all its versions. Neither may be in production or have an alias."""
    subject = model if version is None else f"{model} v{version}"
    if not yes:
        _confirm(subject)
    with connected(context) as registry:
        if version is None:
            registry.delete_model(model)
        else:
            registry.delete_version(model, version)
        deleted = {"model": model} if version is None else {"model": model, "version": version}
        answer(context, deleted, lambda _: f"{subject} is deleted")


def _confirm(subject: str) -> None:
    """Exit unless the name is typed as confirmation."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on. Add --yes.", param_hint="'--yes'")
    if typer.prompt(f"Type '{subject}' to delete it", err=True) != subject:
        typer.echo("Nothing was deleted.", err=True)
        raise typer.Exit(1)


@mutations.command()
def restore(context: typer.Context, model: Model, version: Number) -> None:
    """Take a deleted version out of the trash."""
    with connected(context) as registry:
        restored = registry.restore(model, version)
        answer(context, restored, lambda it: f"{it.model} v{it.version} is in stage {it.stage} again")
