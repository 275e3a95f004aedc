"""The commands on issuers and trust rules."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from modelkeep.cli.administration import Direct, administered
from modelkeep.cli.options import examples
from modelkeep.cli.output import answer, notice
from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.grants import ALL_MODELS

if TYPE_CHECKING:
    from modelkeep.schemas.access import AccessDocument
    from modelkeep.schemas.rules import RulesResponse

access = typer.Typer(help="Issuers and trust rules: which pipelines and pods need no registry token.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="Issuers and rules, in TOML or JSON.")]


@access.command("check", epilog=examples("modelkeep access check access.toml", "modelkeep access check rules.json -q"))
def check(context: typer.Context, file: File) -> None:
    """Check a file of rules, and warn of what may be unintended. Exit status 2 if it cannot be used."""
    document = _load(file)
    warnings = list(document.to_trust().warnings)
    _warn(context, warnings)
    counts = {"issuers": len(document.issuers), "rules": len(document.rules)}
    answer(context, {**counts, "warnings": warnings}, lambda _: _counts(**counts))


@access.command("set", epilog=examples("modelkeep access set access.toml", "modelkeep access set access.toml --direct"))
def set_rules(context: typer.Context, file: File, *, direct: Direct = False) -> None:
    """Replace the rules in the table by those of a file; running services follow within 30 seconds."""
    document = _load(file).model_dump(mode="json", exclude_unset=True)
    with administered(context, direct=direct) as registry:
        found: RulesResponse = registry.set_rules(document)
        _warn(context, found.warnings)
        counts = {name: len(found.document.get(name, ())) for name in ("issuers", "rules")}
        answer(context, found, lambda _: _counts(**counts))


@access.command("show", epilog=examples("modelkeep access show", "modelkeep access show --direct"))
def show(context: typer.Context, *, direct: Direct = False) -> None:
    """Print the rules in the table, as JSON."""
    with administered(context, direct=direct) as registry:
        answer(context, registry.get_rules(), lambda it: json.dumps(it.document, indent=2))


@access.command(
    "explain",
    epilog=examples(
        "modelkeep access explain --token-file token --action stage.set:production --model fraud-detector",
        "modelkeep access explain --token-file token --action token.admin --direct",
    ),
)
def explain(
    context: typer.Context,
    token_file: Annotated[
        Path, typer.Option(metavar="FILE", help="A file with a registry token, or an issuer's token.")
    ],
    action: Annotated[Action, typer.Option(help="The action to decide on.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model.")] = ALL_MODELS,
    *,
    direct: Direct = False,
) -> None:
    """Explain which rule allows an action to the bearer of a token, or why none does. Exit status 1 if none does."""
    with administered(context, direct=direct) as registry:
        explanation = registry.explain_access(token_file.read_text().strip(), action, model)
        answer(context, explanation, lambda it: "\n".join(it.sentences))
    raise typer.Exit(0 if explanation.allowed else 1)


def _load(file: Path) -> "AccessDocument":
    """The document of a file. Raises `BadParameter` with a sentence for each fault."""
    from modelkeep.schemas import access_file  # noqa: PLC0415 -- help needs none of it

    try:
        return access_file.load(file)
    except ValueError as error:
        _usage_error(str(error))


def _usage_error(sentence: str) -> NoReturn:
    raise typer.BadParameter(sentence, param_hint="'FILE'") from None


def _warn(context: typer.Context, warnings: list[str]) -> None:
    for warning in warnings:
        notice(context, f"Warning: {warning}")


def _counts(*, issuers: int, rules: int) -> str:
    return f"{issuers} issuer(s), {rules} rule(s)"
