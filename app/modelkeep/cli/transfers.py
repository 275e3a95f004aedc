"""The commands that move bytes."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelkeep.cli.arguments import Jobs, Model, metrics_of, pairs
from modelkeep.cli.ci_environment import current_run
from modelkeep.cli.options import options_of
from modelkeep.cli.output import document, notice
from modelkeep.cli.session import Transfer, transferring
from modelkeep.domain.values import Stage
from modelkeep.kit.text import format_count, format_size

if TYPE_CHECKING:
    from modelkeep.client import DownloadResult
    from modelkeep.schemas.versions import VersionResponse

transfers = typer.Typer()


@transfers.command()
def register(
    context: typer.Context,
    model: Model,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder with all its files.")],
    framework: Annotated[str | None, typer.Option(metavar="NAME", help="What the model runs with.")] = None,
    metrics: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="An object of numbers.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What is new.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag; repeat for more.")] = None,
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only such files; repeat for more.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="No such files; repeat for more.")] = None,
    promote: Annotated[Stage | None, typer.Option(help="Then move the version to this stage.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="For 24 hours a repeat with it is the same version.")
    ] = None,
    jobs: Jobs = None,
    *,
    as_zip: Annotated[bool, typer.Option("--zip", help="A folder as one archive.")] = False,
) -> None:
    """Register a file or folder as the next version; print its number.

    Interrupted, the same command goes on where it stopped. In a pipeline, a repeated job with the same files gets the
    same version. The commit and the pipeline's address become tags if they are known.
    """
    run = current_run(os.environ, path)
    metadata: dict[str, Any] = {
        "framework": framework,
        "metrics": metrics_of(metrics),
        "description": description,
        "tags": run.tags() | pairs(tag or []),
    }
    with transferring(context, jobs) as transfer:
        version = transfer.registry.register(
            model,
            path,
            **metadata,
            include=include or (),
            exclude=exclude or (),
            as_zip=as_zip,
            idempotency_key=idempotency_key,
            idempotency_scope=run.scope,
        )
        done = f"Registered {version.model} v{version.version}"
        transfer.sum_up(done, count=len(version.artifacts), size=version.size or 0)
        if promote is not None:
            version = _promote(transfer, version, promote, idempotency_key or run.scope)
    if options_of(context).as_json:
        document(version)
    else:
        typer.echo(version.version)


def _promote(transfer: Transfer, version: "VersionResponse", stage: Stage, scope: str | None) -> "VersionResponse":
    """Repeated within a scope, the promotion takes effect once, whatever was promoted since."""
    key = hashlib.sha256(f"{scope}\n{stage}".encode()).hexdigest() if scope else None
    moved = transfer.registry.promote(version.model, version.version, stage, idempotency_key=key)
    notice(transfer.context, f"{moved.model} v{moved.version} is in stage {moved.stage}")
    return moved


@transfers.command()
def download(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="NAME[@REF]", help="The model, and which of its versions.")],
    version: Annotated[
        str | None, typer.Option(metavar="REF", help="Which version, instead of @REF.", show_default="production")
    ] = None,
    dest: Annotated[Path, typer.Option(metavar="DIR", help="Where to put it.")] = Path(),
    path: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only such files; repeat for more.")] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait for a version so long.")] = 0,
    jobs: Jobs = None,
    *,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Leave a place that holds this very version as it is.")
    ] = False,
) -> None:
    """Download a version, check every byte of it, and print where it is.

    A REF is a number, production, staging, latest, an alias or a commit.
    """
    name, at, after = model.partition("@")
    if at and version is not None:
        raise typer.BadParameter(f"'@{after}' says which version already.", param_hint="'--version'")
    ref = after if at else version or "production"
    with transferring(context, jobs) as transfer:
        found = transfer.registry.download(name, ref, dest=dest, paths=path or (), if_changed=if_changed, wait=wait)
        named = f"{found.model} v{found.version}"
        if found.changed:
            transfer.sum_up(f"Downloaded {named}", count=len(found.artifacts), size=found.size)
        else:
            notice(
                context, f"{named} is there: {format_count(len(found.artifacts), 'file')}, {format_size(found.size)}"
            )
    if options_of(context).as_json:
        document(_downloaded(found))
    else:
        typer.echo(found)


def _downloaded(found: "DownloadResult") -> dict[str, Any]:
    described = found.resolved.model_dump(mode="json", exclude={"artifacts"})
    files = [artifact.model_dump(mode="json", include={"path", "size", "sha256"}) for artifact in found.artifacts]
    return {"path": str(found.path), **described, "changed": found.changed, "size": found.size, "artifacts": files}
