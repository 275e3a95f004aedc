"""The commands that transfer files."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelkeep.cli import promotions
from modelkeep.cli.arguments import Jobs, Metric, Model, parse_metric_options, parse_tags
from modelkeep.cli.ci_environment import current_run
from modelkeep.cli.options import examples, options_of
from modelkeep.cli.output import notice, print_for_programs, print_text
from modelkeep.cli.session import Transfer, transferring
from modelkeep.cli.tables import lists
from modelkeep.cli.tables.layout import screen
from modelkeep.cli.version_arguments import SeparateRef, VersionOf, meant
from modelkeep.domain.errors import RegistryError
from modelkeep.domain.frameworks import infer_framework
from modelkeep.domain.values import Stage
from modelkeep.kit.text import format_count, format_size

if TYPE_CHECKING:
    from modelkeep.client import DownloadResult
    from modelkeep.schemas.versions import VersionResponse

transfers = typer.Typer()


@transfers.command(
    epilog=examples(
        "modelkeep register fraud-detector ./checkpoints/model.pt --framework pytorch",
        "modelkeep register fraud-detector ./checkpoints/run-7 --exclude '*.tmp' --dry-run",
    )
)
def register(
    context: typer.Context,
    model: Model,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder with all its files.")],
    framework: Annotated[
        str | None, typer.Option(metavar="NAME", help="The framework that loads the model; else inferred.")
    ] = None,
    metrics: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="Metrics, as an object of numbers.")] = None,
    metric: Metric = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="A description of the version.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag; may be repeated.")] = None,
    run_id: Annotated[str | None, typer.Option(metavar="ID", help="The id of the training run.")] = None,
    source: Annotated[str | None, typer.Option(metavar="URI", help="An address that the version comes from.")] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files that match, by gitignore's rule; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="No files that match, by gitignore's rule; may be repeated."),
    ] = None,
    promote: Annotated[Stage | None, typer.Option(help="Move the new version to this stage.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Called again with it within 24 hours, return the same version.")
    ] = None,
    jobs: Jobs = None,
    *,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Follow links that lead out of the folder, or to folders.")
    ] = False,
    as_zip: Annotated[bool, typer.Option("--zip", help="Register a folder as one archive.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be sent; begin and send nothing.")
    ] = False,
) -> None:
    """Register a file or folder as the next version; print its number.

    Interrupted and run again, it resumes. In a pipeline, a repeated job with the same files gets the same version; the
    commit and the address of the run become tags.
    """
    run = current_run(os.environ, path)
    metadata: dict[str, Any] = {
        "framework": framework,
        "metrics": parse_metric_options(metrics, metric),
        "description": description,
        "tags": run.tags() | parse_tags(tag or []),
        "run_id": run_id,
        "source_uri": source,
    }
    selection: dict[str, Any] = {
        "include": include or (),
        "exclude": exclude or (),
        "follow_links": follow_links,
        "as_zip": as_zip,
    }
    with transferring(context, jobs) as transfer:
        if dry_run:
            is_archive = as_zip and path.is_dir()
            _print_preview(
                context, model, transfer.registry.preview(path, **selection), framework, is_archive=is_archive
            )
            return
        version = transfer.registry.register(
            model,
            path,
            **metadata,
            **selection,
            idempotency_key=idempotency_key,
            idempotency_scope=run.scope,
        )
        same = _find_same_files(transfer, version)
        framework = f"{version.framework}{', inferred' * version.framework_inferred}"
        as_before = f"; the files of v{same}" if same else ""
        done = f"Registered {version.model} v{version.version} ({framework}{as_before})"
        transfer.print_summary(done, count=len(version.artifacts), size=version.size or 0)
        if promote is not None:
            version = _promote(transfer, version, promote, idempotency_key or run.scope)
    if options_of(context).for_programs:
        print_for_programs(context, {**version.model_dump(mode="json"), "same_files_as": same})
    else:
        typer.echo(version.version)


def _find_same_files(transfer: Transfer, version: "VersionResponse") -> int | None:
    """The newest earlier version with the same files, if it would be said and the caller may read it."""
    options = options_of(transfer.context)
    if options.quiet and not options.for_programs:
        return None
    with suppress(RegistryError):
        return transfer.registry.find_same_files(version) if version.version > 1 else None
    return None


def _print_preview(
    context: typer.Context, model: str, sizes: Mapping[str, int], framework: str | None, *, is_archive: bool
) -> None:
    """Print what would be registered: a line for each file, or one JSON document."""
    files = {path: size for path, size in sizes.items() if not path.endswith("/")}
    folders = [path.removesuffix("/") for path in sizes if path.endswith("/")]
    inferred = infer_framework(["archive.zip"] if is_archive else files)
    total = sum(files.values())
    if options_of(context).for_programs:
        described = {"model": model, "framework": framework or inferred, "framework_inferred": framework is None}
        artifacts = [{"path": path, "size": size} for path, size in files.items()]
        content = {"size": total, "artifacts": artifacts, "empty_folders": folders}
        print_for_programs(context, {**described, "archive": is_archive, **content})
        return
    named = framework or f"{inferred}, inferred"
    form = ", as one archive" * is_archive
    empty = f", {format_count(len(folders), 'empty folder')}" if folders else ""
    counted = f"{format_count(len(files), 'file')}, {format_size(total)}{empty}"
    notice(context, f"Would register {model} ({named}): {counted}{form}")
    print_text(lists.files(screen(), sizes))


def _promote(transfer: Transfer, version: "VersionResponse", stage: Stage, scope: str | None) -> "VersionResponse":
    """Promote. Repeated with the same scope, the promotion takes effect once, and does not undo a later one."""
    key = hashlib.sha256(f"{scope}\n{stage}".encode()).hexdigest() if scope else None
    before = promotions.look(transfer.context, transfer.registry, version.model)
    moved = transfer.registry.promote(version.model, version.version, stage, idempotency_key=key)
    notice(transfer.context, promotions.outcome(transfer.registry, before, moved))
    return moved


@transfers.command(
    epilog=examples(
        "modelkeep download fraud-detector --dest ./serving",
        "modelkeep download fraud-detector@canary --dest /models --wait 300",
    )
)
def download(
    context: typer.Context,
    name: VersionOf,
    ref: SeparateRef = None,
    version: Annotated[
        str | None, typer.Option(metavar="REF", help="The version, if not after the @.", show_default="production")
    ] = None,
    dest: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put it into.")] = Path(),
    path: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only files that match, by gitignore's rule; may be repeated."),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait so long for the version to exist.")] = 0,
    jobs: Jobs = None,
    *,
    if_changed: Annotated[  # noqa: ARG001 -- of earlier releases, see the manual
        bool, typer.Option("--if-changed", help="Do nothing if the files there are those of this version: always so.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what no download has put there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched; fetch and write nothing.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every file that is there, also if it has not changed by size and time."),
    ] = False,
) -> None:
    """Download a version, verify every byte, and print the path."""
    wanted = meant(name, ref, version)
    with transferring(context, jobs) as transfer:
        found = transfer.registry.download(
            wanted.model,
            wanted.ref or "production",
            dest=dest,
            paths=path or (),
            force=force,
            dry_run=dry_run,
            verify=verify,
            wait=wait,
        )
        named = f"{found.model} v{found.version}"
        summary = f"{format_count(len(found.artifacts), 'file')}, {format_size(found.size)}"
        if not found.changed:
            notice(context, f"{named} is there: {summary}")
        elif dry_run:
            notice(context, f"Would download {named}: {summary}")
        else:
            transfer.print_summary(f"Downloaded {named}", count=len(found.artifacts), size=found.size)
    if options_of(context).for_programs:
        print_for_programs(context, _to_json(found))
    else:
        typer.echo(found)


def _to_json(found: "DownloadResult") -> dict[str, Any]:
    described = found.resolved.model_dump(mode="json", exclude={"artifacts"})
    files = [
        artifact.model_dump(mode="json", include={"path", "size", "sha256", "executable"})
        for artifact in found.artifacts
    ]
    return {"path": str(found.path), **described, "changed": found.changed, "size": found.size, "artifacts": files}
