"""The program `model-registry`."""

import typer

from app.operate.commands import commands

program = typer.Typer(
    name="model-registry",
    help="A model registry: one production version per model, at every instant.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
program.add_typer(commands)

if __name__ == "__main__":
    program()
