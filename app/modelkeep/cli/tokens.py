"""The commands on registry tokens."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from modelkeep.cli.administration import Direct, administered
from modelkeep.cli.options import examples
from modelkeep.cli.output import answer, answer_list, notice
from modelkeep.cli.records import columns_of
from modelkeep.domain.access.grants import ALL_MODELS
from modelkeep.domain.access.tokens import MAX_LIFE, hub_spelling

if TYPE_CHECKING:
    from modelkeep.schemas.tokens import GrantResponse, TokenResponse

tokens = typer.Typer(help="Registry tokens; the first one of a registry is made with --direct.")


@tokens.command(
    "create",
    epilog=examples(
        "modelkeep token create ci --allow publisher --models 'fraud-*' --days 90",
        "modelkeep token create serving --allow reader --days 90 --hf",
    ),
)
def create_token(
    context: typer.Context,
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="The principal that it authenticates.")],
    *,
    days: Annotated[int, typer.Option(min=1, max=MAX_LIFE.days, metavar="N", help="Its lifetime, in days.")],
    allow: Annotated[
        list[str], typer.Option(metavar="ROLE|ACTION", help="A role or an action that is allowed; may be repeated.")
    ],
    deny: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE|ACTION", help="A role or an action that is denied; may be repeated."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Names of models that it is for, as fraud-*; may be repeated."),
    ] = None,
    direct: Direct = False,
    hf: Annotated[
        bool, typer.Option("--hf", help="Print it as hf_ and hex digits, for HF_TOKEN of clients that want that form.")
    ] = False,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    end = datetime.now(UTC) + timedelta(days=days)
    with administered(context, direct=direct) as registry:
        made = registry.create_token(
            principal, allow=allow, deny=deny or [], models=models or [ALL_MODELS], expires_at=end
        )
        notice(context, f"Token {made.id} of '{made.principal}' until {end:%Y-%m-%d}; it is not shown again:")
        shown = made.model_copy(update={"token": hub_spelling(made.token)}) if hf else made
        answer(context, shown, lambda it: it.token)


@tokens.command("list", epilog=examples("modelkeep token list", "modelkeep token list --direct"))
def list_tokens(context: typer.Context, *, direct: Direct = False) -> None:
    """List tokens, without their secrets."""
    from modelkeep.schemas.tokens import TokenResponse  # noqa: PLC0415 -- help needs none of it

    with administered(context, direct=direct) as registry:
        found: list[TokenResponse] = registry.list_tokens()
        columns = columns_of(TokenResponse)
        answer_list(context, found, lambda them: "\n".join(map(_line, them)), "There are no tokens.", columns=columns)


def _line(token: "TokenResponse") -> str:
    state = "revoked" if token.revoked_at else f"until {token.expires_at:%Y-%m-%d}"
    used = f"used {token.last_used_at:%Y-%m-%d}" if token.last_used_at else "never used"
    return f"{token.id}  {token.principal}  {state}  {used}  {'; '.join(map(_grant, token.grants))}"


def _grant(grant: "GrantResponse") -> str:
    return f"{'not ' if grant.deny else ''}{', '.join(grant.allow or grant.deny)} on {', '.join(grant.models)}"


@tokens.command(
    "revoke",
    epilog=examples("modelkeep token revoke 0aBcD1eFgH2", "modelkeep token revoke 0aBcD1eFgH2 --direct"),
)
def revoke_token(
    context: typer.Context,
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `token list` shows it.")],
    *,
    direct: Direct = False,
) -> None:
    """Revoke a token; every running service refuses it within 30 seconds."""
    with administered(context, direct=direct) as registry:
        registry.revoke_token(token)
        answer(context, {"id": token}, lambda _: f"Token {token} is revoked")
