"""The operator's commands, as they are typed. Each reads `MODELKEEP_…` and `AWS_…` from the environment."""

import json
from pathlib import Path
from typing import Annotated

import typer

from modelkeep.admin.iam_policies import Role, policy
from modelkeep.admin.operator_command import OperatorCommand
from modelkeep.admin.settings import read_settings
from modelkeep.cli.options import examples
from modelkeep.cli.output import notice

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]

commands = typer.Typer()


@commands.command(
    cls=OperatorCommand, epilog=examples("modelkeep serve", "modelkeep serve --host 127.0.0.1 --port 9000 --workers 2")
)
def serve(host: Host = "0.0.0.0", port: Port = 8000, workers: Workers = 1) -> None:  # noqa: S104 -- a container's port
    """Serve the registry from the storage that the environment names."""
    from modelkeep.admin import serving  # noqa: PLC0415 -- the other commands need no web framework

    serving.serve(host=host, port=port, workers=workers)


@commands.command(
    cls=OperatorCommand, epilog=examples("modelkeep dev", "modelkeep dev --port 9000 --data-dir ./registry-data")
)
def dev(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    data_dir: Annotated[Path, typer.Option(help="The folder for all data.")] = Path("registry-data"),
) -> None:
    """Serve a registry from a folder on this machine, with docs; nothing else is needed."""
    from modelkeep.admin import serving  # noqa: PLC0415 -- see serve

    serving.serve_dev(host=host, port=port, workers=workers, data_dir=data_dir)


@commands.command(cls=OperatorCommand, epilog=examples("modelkeep init", "modelkeep init --adopt --verify"))
def init(
    context: typer.Context,
    *,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Hand the bucket over to this table, whichever table owns it.")
    ] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over versions that the public recipe wrote.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="With --adopt: read each object once, and record its SHA-256.")
    ] = False,
) -> None:
    """Create or complete the table and the bucket, or the folder; safe to repeat."""
    from modelkeep.admin import installation, maintenance, report  # noqa: PLC0415 -- see serve

    settings = read_settings()
    adoption = [maintenance.adopt(settings, verify=verify)] if adopt or verify else []
    report.print_findings(context, installation.install(settings, take_over=take_over), *adoption)


@commands.command(
    cls=OperatorCommand,
    epilog=examples("modelkeep sweep --dry-run", "modelkeep sweep --metrics /var/lib/node_exporter/modelkeep.prom"),
)
def sweep(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing.")] = False,
    metrics: Annotated[
        Path | None, typer.Option(help="Write counts of what was done to this file, in Prometheus's text format.")
    ] = None,
) -> None:
    """Remove expired uploads, due trash and orphaned objects. Run it once a day."""
    from modelkeep.admin import maintenance, report  # noqa: PLC0415 -- see serve

    swept = maintenance.sweep(read_settings(), dry_run=dry_run, metrics=metrics)
    report.print_findings(
        context, swept, summary=lambda found: f"{len(found)} thing(s) {'would be ' if dry_run else ''}swept"
    )


@commands.command(cls=OperatorCommand, epilog=examples("modelkeep check", "modelkeep check -o json"))
def check(context: typer.Context) -> None:
    """Check table and bucket for what must always be true. Exit status 1 if something is not."""
    from modelkeep.admin import maintenance, report, wording  # noqa: PLC0415 -- see serve

    settings = read_settings()
    found = report.print_findings(context, maintenance.check(settings), summary=wording.check_summary)
    if exposure := maintenance.exposure_of(settings):
        notice(context, exposure)
    raise typer.Exit(1 if wording.faults_among(found) else 0)


@commands.command(
    cls=OperatorCommand,
    epilog=examples(
        "modelkeep migrate --from local:./registry-data --to aws --dry-run",
        "modelkeep migrate --from aws --to local:./copy",
    ),
)
def migrate(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", help="aws, or local:DIR: the registry to copy, which is only read.")],
    destination: Annotated[str, typer.Option("--to", help="aws (run `init` before), or local:DIR.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be copied, and write nothing.")] = False,
) -> None:
    """Copy a registry into another store: versions, numbers, history, aliases, trash, bytes. Safe to repeat."""
    from modelkeep.admin import migration, report  # noqa: PLC0415 -- see serve

    endpoints = migration.settings_of(source), migration.settings_of(destination)
    report.print_findings(context, migration.migrate(*endpoints, dry_run=dry_run))


@commands.command(
    name="iam-policy",
    cls=OperatorCommand,
    epilog=examples(
        "modelkeep iam-policy serve --account 123456789012 --region eu-central-1", "modelkeep iam-policy sweep"
    ),
)
def iam_policy(
    role: Annotated[Role, typer.Argument(help="What the policy is for.")] = Role.SERVE,
    account: Annotated[str, typer.Option(help="The number of the AWS account.")] = "*",
    region: Annotated[str, typer.Option(help="The AWS region.")] = "*",
) -> None:
    """Print the least privilege that a role needs, as JSON; its ARNs are of the region's partition."""
    settings = read_settings()
    if settings.bucket is None:
        raise ValueError("MODELKEEP_BUCKET is not set: name the bucket that the policy is for")
    from modelkeep.storage.aws.partitions import partition_of  # noqa: PLC0415 -- the other commands need no botocore

    names = {"table": settings.table, "bucket": settings.bucket, "account": account, "region": region}
    typer.echo(json.dumps(policy(role, **names, partition=partition_of(region)), indent=2))
