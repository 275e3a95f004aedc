"""The operator's commands on tokens and trust rules, as they are typed."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from modelkeep.admin.operator_command import OperatorCommand
from modelkeep.admin.settings import read_settings
from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.domain.access.tokens import MAX_LIFE

commands = typer.Typer()
_token = typer.Typer(help="Registry tokens, directly in the table: how a new registry gets its first.")
_access = typer.Typer(help="Issuers and trust rules: which pipelines and pods need no registry token.")
commands.add_typer(_token, name="token")
commands.add_typer(_access, name="access")

File = Annotated[Path, typer.Argument(help="Issuers and rules, in TOML or JSON.")]


@_token.command("create", cls=OperatorCommand)
def create_token(
    principal: Annotated[str, typer.Argument(help="The principal that it authenticates.")],
    *,
    days: Annotated[int, typer.Option(min=1, max=MAX_LIFE.days, help="Its lifetime, in days.")],
    allow: Annotated[list[str], typer.Option(help="A role or an action that is allowed; may be repeated.")],
    deny: Annotated[list[str] | None, typer.Option(help="A role or an action that is denied; may be repeated.")] = None,
    models: Annotated[
        list[str] | None, typer.Option(help="A pattern of model names that it is for; may be repeated.")
    ] = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    from modelkeep.admin import access  # noqa: PLC0415 -- help needs none of it
    from modelkeep.schemas.access import Grants  # noqa: PLC0415

    grants = Grants(allow=allow, deny=deny or [], models=models or [ALL_MODELS]).to_grants("")
    token, secret = asyncio.run(access.create_token(read_settings(), principal, grants, timedelta(days=days)))
    end = f"{token.expires_at:%Y-%m-%d}"
    typer.echo(f"Token {token.id} of '{token.principal}' until {end}; it is not shown again:", err=True)
    typer.echo(secret.text)


@_token.command("list", cls=OperatorCommand)
def list_tokens() -> None:
    """List tokens, without their secrets."""
    from modelkeep.admin import access  # noqa: PLC0415 -- see create_token

    tokens = asyncio.run(access.list_tokens(read_settings()))
    for token in tokens:
        state = "revoked" if token.revoked_at else f"until {token.expires_at:%Y-%m-%d}"
        used = f"used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else "never used"
        grants = "; ".join(
            f"{'not ' if grant.denies else ''}{', '.join(grant.entries)} on {', '.join(grant.models)}"
            for grant in token.grants
        )
        typer.echo(f"{token.id}  {token.principal}  {state}  {used}  {grants}")


@_token.command("revoke", cls=OperatorCommand)
def revoke_token(token: Annotated[str, typer.Argument(help="The token's id, as `token list` shows it.")]) -> None:
    """Revoke a token; every running service refuses it within 30 seconds."""
    from modelkeep.admin import access  # noqa: PLC0415 -- see create_token

    asyncio.run(access.revoke_token(read_settings(), token))


@_access.command("check", cls=OperatorCommand)
def check(file: File) -> None:
    """Check a file of rules, and warn of what may be unintended. Exit status 2 if it cannot be used."""
    from modelkeep.schemas import access_file  # noqa: PLC0415 -- see create_token

    trust = access_file.read(file)
    for warning in trust.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(f"{len(trust.issuers)} issuer(s), {len(trust.rules)} rule(s)")


@_access.command("set", cls=OperatorCommand)
def set_rules(file: File) -> None:
    """Replace the rules in the table by those of a file; running services follow within 30 seconds."""
    from modelkeep.admin import access  # noqa: PLC0415 -- see create_token

    warnings = asyncio.run(access.set_rules(read_settings(), file))
    for warning in warnings:
        typer.echo(f"Warning: {warning}", err=True)


@_access.command("show", cls=OperatorCommand)
def show() -> None:
    """Print the rules in the table, as JSON."""
    from modelkeep.admin import access  # noqa: PLC0415 -- see create_token

    document = asyncio.run(access.show_rules(read_settings()))
    typer.echo(document.text if document else "{}")


@_access.command("explain", cls=OperatorCommand)
def explain(
    token_file: Annotated[Path, typer.Option(help="A file with a registry token, or an issuer's token.")],
    action: Annotated[Action, typer.Option(help="The action to decide on.")],
    model: Annotated[str, typer.Option(help="The model.")] = ALL_MODELS,
) -> None:
    """Explain which rule allows an action to the bearer of a token, or why none does. Exit status 1 if none does."""
    from modelkeep.admin import access  # noqa: PLC0415 -- see create_token

    text = token_file.read_text().strip()
    explanation = asyncio.run(access.explain(read_settings(), text, action, model))
    for sentence in explanation.sentences:
        typer.echo(sentence)
    raise typer.Exit(0 if explanation.allowed else 1)
