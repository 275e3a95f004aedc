"""The commands that change nothing."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from modelkeep.cli import completion
from modelkeep.cli.arguments import Model, model_alone, parse_sort, parse_tags, parse_time
from modelkeep.cli.options import Output, examples, options_of
from modelkeep.cli.output import answer, answer_list, print_for_programs
from modelkeep.cli.records import columns_of
from modelkeep.cli.session import connected
from modelkeep.cli.tables import cards, lists
from modelkeep.cli.tables.comparison import RECORD, comparison, records
from modelkeep.cli.tables.layout import Wide, screen
from modelkeep.cli.tables.versions import versions
from modelkeep.cli.version_arguments import SeparateRef, VersionOf, meant, two_versions
from modelkeep.domain.errors import RegistryError
from modelkeep.domain.values import Stage
from modelkeep.kit.text import format_share

if TYPE_CHECKING:
    from modelkeep.client import RegistryClient
    from modelkeep.schemas.versions import VersionResponse

queries = typer.Typer()

_NAMED_UPLOADS: Final = 5
_NAMED_METRICS: Final = 10


@queries.command(
    name="list",
    epilog=examples("modelkeep list fraud-detector --sort f1 --limit 5", "modelkeep -o csv list fraud-detector"),
)
def list_(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The model; without it, models are listed.",
            autocompletion=completion.model_of,
            callback=model_alone,
        ),
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
    wide: Wide = False,
) -> None:
    """List the versions of a model, newest first; or the models."""
    if model is None and (stage or tag or sort or has_alias):
        raise typer.BadParameter("--stage, --tag, --sort and --has-alias are for versions. Name their model.")
    quiet = quiet or options_of(context).quiet
    with connected(context) as registry:
        if model is None:
            _list_models(context, registry, limit, quiet=quiet, wide=wide)
            return
        found = registry.list_versions(
            model,
            stage=stage,
            tags=parse_tags(tag or []),
            alias="*" if has_alias else None,
            sort=None if sort is None else parse_sort(sort),
            limit=limit,
        )
        _check_sorted(found, sort)
        if quiet and not options_of(context).for_programs:
            _print_names(it.version for it in found)
            return
        from modelkeep.schemas.versions import VersionResponse  # noqa: PLC0415 -- help need not wait for it

        table = partial(versions, screen(wide=wide), sorted_by=sort and sort.removeprefix("-"))
        is_filtered = bool(stage or tag or has_alias)
        if_empty = "There are no such versions." if found or is_filtered else _why_there_is_none(registry, model)
        answer_list(context, found, table, if_empty, columns=columns_of(VersionResponse))


def _check_sorted(found: Sequence["VersionResponse"], sort: str | None) -> None:
    """Raise `BadParameter` if none of the versions has the metric that they are sorted by: they are in no order."""
    metric = (sort or "").removeprefix("-")
    if not found or metric in {"", "created"} or any(metric in version.metrics for version in found):
        return
    known = sorted({name for version in found for name in version.metrics})
    advice = f"Sort by {' or '.join(known[:_NAMED_METRICS])}." if known else "They have no metrics."
    raise typer.BadParameter(f"no such version has a metric '{metric}'. {advice}", param_hint="'--sort'")


def _why_there_is_none(registry: "RegistryClient", model: str) -> str:
    """What is under way, if anything is; a service of an earlier release does not know."""
    with suppress(RegistryError):
        if found := registry.list_uploads(model, limit=_NAMED_UPLOADS):
            shares = [f"v{it.version} ({format_share(it.arrived_size, it.size)})" for it in found]
            return (
                f"{model} has no complete version; under way: {', '.join(shares)}."
                f" `modelkeep uploads {model}` says when they expire."
            )
    return f"{model} has no versions."


def _list_models(
    context: typer.Context, registry: "RegistryClient", limit: int | None, *, quiet: bool, wide: bool
) -> None:
    from modelkeep.schemas.models import ModelResponse  # noqa: PLC0415 -- help need not wait for it

    found = registry.list_models(limit=limit)
    if quiet and not options_of(context).for_programs:
        _print_names(it.model for it in found)
        return
    table = partial(lists.models, screen(wide=wide))
    answer_list(context, found, table, "There are no models yet.", columns=columns_of(ModelResponse))


def _print_names(names: Iterable[object]) -> None:
    for name in names:
        typer.echo(name)


@queries.command(
    epilog=examples("modelkeep uploads fraud-detector", "modelkeep -o jsonl uploads fraud-detector"),
)
def uploads(context: typer.Context, model: Model, *, wide: Wide = False) -> None:
    """List the uploads of a model under way: how much of each has arrived, and when it expires."""
    with connected(context) as registry:
        found = registry.list_uploads(model)
        from modelkeep.schemas.uploads import UploadProgressResponse  # noqa: PLC0415 -- help need not wait for it

        table = partial(lists.uploads, screen(wide=wide))
        answer_list(context, found, table, "No upload is under way.", columns=columns_of(UploadProgressResponse))


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
    if at is not None and wanted.ref != "production":
        raise typer.BadParameter("a time is for production. Write NAME@production.", param_hint="'--at'")
    with connected(context) as registry:
        if wanted.ref is None:
            answer(context, registry.get_model(wanted.model), cards.model)
        else:
            answer(context, registry.get_version(wanted.model, wanted.ref, at=at), cards.version)


@queries.command(
    epilog=examples("modelkeep diff fraud-detector production 8", "modelkeep -o jsonl diff fraud-detector@6 7"),
)
def diff(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@A]",
            help="The model, and one of its versions: a number, production, an alias, a commit.",
            autocompletion=completion.version_of,
        ),
    ],
    a: Annotated[
        str | None,
        typer.Argument(metavar="[A]", help="The version, if not after the @.", autocompletion=completion.ref_of),
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The version to compare with it.", autocompletion=completion.ref_of),
    ] = None,
    *,
    wide: Wide = False,
) -> None:
    """Compare two versions: metrics with differences, tags, and files by their bytes."""
    model, one, other = two_versions(name, a, b)
    with connected(context) as registry:
        found = registry.compare_versions(model, one, other)
        if options_of(context).output in {Output.HUMAN, Output.JSON}:
            answer(context, found, partial(comparison, screen(wide=wide)))
        else:
            print_for_programs(context, list(records(found)), columns=RECORD)


@queries.command(
    epilog=examples("modelkeep history fraud-detector", "modelkeep -o jsonl history fraud-detector --after 12"),
)
def history(
    context: typer.Context,
    model: Model,
    after: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only events after this generation.")] = None,
    *,
    wide: Wide = False,
) -> None:
    """Show the history of a model: who changed what and when, oldest first."""
    with connected(context) as registry:
        found = registry.list_events(model, after=after)
        from modelkeep.schemas.events import EventResponse  # noqa: PLC0415 -- help need not wait for it

        table = partial(lists.events, screen(wide=wide))
        answer_list(context, found, table, "Nothing happened since.", columns=columns_of(EventResponse))
