"""The commands that change what is registered."""

import sys
from functools import partial
from typing import Annotated, Any

import typer

from modelkeep.cli import completion, promotions
from modelkeep.cli.arguments import (
    Comment,
    Expect,
    Metric,
    Model,
    parse_metric_options,
    parse_tags,
    precondition,
)
from modelkeep.cli.options import examples
from modelkeep.cli.output import answer, answer_list, notice
from modelkeep.cli.session import connected
from modelkeep.cli.tables import cards, lists
from modelkeep.cli.tables.layout import Wide, screen
from modelkeep.cli.version_arguments import SeparateRef, VersionOf, meant
from modelkeep.domain.values import Stage

mutations = typer.Typer()
alias = typer.Typer(help="List, set and remove movable names of versions.")
mutations.add_typer(alias, name="alias")

Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="The alias.", autocompletion=completion.alias_of)]


@mutations.command(
    epilog=examples(
        "modelkeep promote fraud-detector@7",
        'modelkeep promote fraud-detector 7 production --expect 6 --comment "approved in CHG-2291"',
    )
)
def promote(
    context: typer.Context,
    name: VersionOf,
    version: SeparateRef = None,
    stage: Annotated[Stage | None, typer.Argument(help="The stage to move it to.", show_default="production")] = None,
    expect: Expect = None,
    comment: Comment = None,
    *,
    only_newer: Annotated[
        bool, typer.Option("--only-newer", help="Refuse to replace a newer version in production.")
    ] = False,
) -> None:
    """Move a version to a stage. The version that was production is archived in the same step, and named."""
    version, stage = _version_and_stage(name, version, stage)
    wanted, expected = meant(name, version), precondition(expect)
    with connected(context) as registry:
        number, before = wanted.number_now(registry), promotions.look(context, registry, wanted.model)
        moved = registry.promote(wanted.model, number, stage, only_newer=only_newer, comment=comment, **expected)
        answer(context, moved, lambda it: promotions.outcome(registry, before, it))


def _version_and_stage(name: str, version: str | None, stage: Stage | None) -> tuple[str | None, Stage]:
    """The arguments after the name: after `NAME@REF` the only one is the stage. Raises `BadParameter`."""
    if stage is not None or version not in set(Stage):
        return version, stage or Stage.PRODUCTION
    if "@" not in name:
        sentence = f"'{version}' is a stage. Write the version before it: {name}@4 {version}."
        raise typer.BadParameter(sentence, param_hint="'VERSION'")
    return None, Stage(version)


@mutations.command(
    epilog=examples(
        "modelkeep rollback fraud-detector", 'modelkeep rollback fraud-detector --expect 7 --comment "f1 fell"'
    )
)
def rollback(context: typer.Context, model: Model, expect: Expect = None, comment: Comment = None) -> None:
    """Move the version that was production before back to production."""
    with connected(context) as registry:
        before = promotions.look(context, registry, model)
        back = registry.rollback(model, comment=comment, **precondition(expect))
        answer(context, back, lambda it: promotions.outcome(registry, before, it, again=True))


@alias.command(
    name="set",
    epilog=examples(
        "modelkeep alias set fraud-detector canary 8", "modelkeep alias set fraud-detector@production champion"
    ),
)
def set_alias(
    context: typer.Context, name: VersionOf, alias: Alias, version: SeparateRef = None, comment: Comment = None
) -> None:
    """Point an alias at a version."""
    wanted = meant(name, version)
    with connected(context) as registry:
        pointed = registry.set_alias(wanted.model, alias, wanted.number_now(registry), comment=comment)
        answer(context, pointed, lambda it: f"{it.model}@{it.alias} is v{it.version}")


@alias.command(
    name="list",
    epilog=examples("modelkeep alias list fraud-detector", "modelkeep -o csv alias list fraud-detector"),
)
def list_aliases(context: typer.Context, model: Model, *, wide: Wide = False) -> None:
    """List the aliases of a model, and the version of each."""
    with connected(context) as registry:
        aliases = [{"alias": name, "version": number} for name, number in registry.get_model(model).aliases.items()]
        table = partial(lists.aliases, screen(wide=wide))
        answer_list(context, aliases, table, "There are no aliases.", columns=["alias", "version"])


@alias.command(
    name="rm",
    epilog=examples("modelkeep alias rm fraud-detector canary", "modelkeep alias rm fraud-detector champion -q"),
)
def remove_alias(context: typer.Context, model: Model, alias: Alias) -> None:
    """Remove an alias."""
    with connected(context) as registry:
        registry.remove_alias(model, alias)
        answer(context, {"model": model, "alias": alias}, lambda _: f"{model}@{alias} is removed")


@mutations.command(
    epilog=examples(
        "modelkeep copy fraud-detector@7 fraud-detector-eu",
        "modelkeep copy fraud-detector@production fraud-baseline --tag reason=baseline",
    )
)
def copy(
    context: typer.Context,
    name: VersionOf,
    to: Annotated[
        str, typer.Argument(metavar="OTHER", help="The model that gets it.", autocompletion=completion.model_of)
    ],
    framework: Annotated[str | None, typer.Option(metavar="NAME", help="Another framework.")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="Metrics to set, as an object of numbers.")
    ] = None,
    metric: Metric = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="Another description.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag to set; repeat for more.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Called again with it within 24 hours, return the same version.")
    ] = None,
) -> None:
    """Make a version of another version's files the next one of a model; no byte is moved. Print its number."""
    wanted = meant(name)
    given = {} if description is None else {"description": description}
    with connected(context) as registry:
        number = wanted.number_now(registry)
        copied = registry.copy(
            wanted.model,
            number,
            to,
            framework=framework,
            metrics=parse_metric_options(metrics, metric),
            tags=parse_tags(tag or []),
            idempotency_key=idempotency_key,
            **given,
        )
        notice(context, f"{copied.model} v{copied.version} has the files of {wanted.model} v{number}")
        answer(context, copied, lambda it: str(it.version))


@mutations.command(
    epilog=examples(
        "modelkeep create fraud-detector",
        'modelkeep create fraud-detector --description "Scores card payments" --tag team=risk',
    )
)
def create(
    context: typer.Context,
    model: Model,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What the model is for.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag; may be repeated.")] = None,
) -> None:
    """Create a model that has no versions yet; one that is there stays as it is. `register` needs none beforehand."""
    with connected(context) as registry:
        created = registry.create_model(model, description=description, tags=parse_tags(tag or []))
        answer(context, created, cards.model)


@mutations.command(
    epilog=examples(
        "modelkeep edit fraud-detector@7 --tag reviewed=yes",
        'modelkeep edit fraud-detector --description "Scores card payments"',
    )
)
def edit(
    context: typer.Context,
    name: VersionOf,
    version: SeparateRef = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="The new description.")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="Metrics to set, as an object of numbers.")
    ] = None,
    metric: Metric = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag to set; repeat for more.")] = None,
    remove_tag: Annotated[list[str] | None, typer.Option(metavar="KEY", help="A tag to remove.")] = None,
    remove_metric: Annotated[list[str] | None, typer.Option(metavar="KEY", help="A metric to remove.")] = None,
) -> None:
    """Change the description, metrics and tags of a version; without VERSION, those of the model."""
    given = {
        "description": description,
        "metrics": _merge(parse_metric_options(metrics, metric), remove_metric)
        if metrics is not None or metric or remove_metric
        else None,
        "tags": _merge(parse_tags(tag or []), remove_tag) if tag or remove_tag else None,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("say what to change.", param_hint="options")
    wanted = meant(name, version)
    if wanted.ref is None and "metrics" in changes:
        raise typer.BadParameter("metrics are of a version. Give its number.", param_hint="'VERSION'")
    with connected(context) as registry:
        if wanted.ref is None:
            answer(context, registry.edit_model(wanted.model, **changes), cards.model)
        else:
            number = wanted.number_now(registry)
            answer(context, registry.edit_version(wanted.model, number, **changes), cards.version)


def _merge(changed: dict[str, Any], removed: list[str] | None) -> dict[str, Any]:
    return changed | dict.fromkeys(removed or [])


@mutations.command(
    epilog=examples("modelkeep delete fraud-detector@3", "modelkeep delete fraud-detector --yes"),
)
def delete(
    context: typer.Context,
    name: VersionOf,
    version: SeparateRef = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a version, or a model with all its versions. Neither may be in production or have an alias."""
    wanted = meant(name, version)
    model = wanted.model
    with connected(context) as registry:
        number = None if wanted.ref is None else wanted.number_now(registry)
        subject = model if number is None else f"{model} v{number}"
        if not yes:
            _confirm(subject)
        if number is None:
            registry.delete_model(model)
        else:
            registry.delete_version(model, number)
        deleted = {"model": model} if number is None else {"model": model, "version": number}
        answer(context, deleted, lambda _: f"{subject} is deleted")


def _confirm(subject: str) -> None:
    """Exit unless the name is typed as confirmation."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on. Add --yes.", param_hint="'--yes'")
    if typer.prompt(f"Type '{subject}' to delete it", err=True) != subject:
        typer.echo("Nothing was deleted.", err=True)
        raise typer.Exit(1)


@mutations.command(epilog=examples("modelkeep abandon fraud-detector 8", "modelkeep abandon fraud-detector@8"))
def abandon(context: typer.Context, name: VersionOf, version: SeparateRef = None) -> None:
    """Give up the upload of a version: what has arrived is removed, and its number is not used again."""
    wanted = meant(name, version)
    number = wanted.number()
    with connected(context) as registry:
        registry.abandon_upload(wanted.model, number)
        abandoned = {"model": wanted.model, "version": number}
        answer(context, abandoned, lambda _: f"The upload of {wanted.model} v{number} is abandoned")


@mutations.command(epilog=examples("modelkeep restore fraud-detector@3", "modelkeep restore fraud-detector 3"))
def restore(context: typer.Context, name: VersionOf, version: SeparateRef = None) -> None:
    """Take a deleted version out of the trash. It is named by its number: no other ref names what is deleted."""
    wanted = meant(name, version)
    number = wanted.number()
    with connected(context) as registry:
        restored = registry.restore(wanted.model, number)
        answer(context, restored, lambda it: f"{it.model} v{it.version} is in stage {it.stage} again")
