"""A command on the storage that the environment names, in distinction to one that asks a registry over HTTP."""

from typing import Any

from typer.core import TyperCommand

from modelkeep.cli.exit_status import OPERATOR_COMMAND


class OperatorCommand(TyperCommand):
    """A command that fails as `cli.exit_status` describes for operators."""

    def invoke(self, ctx: Any) -> Any:
        """Run it, and leave its words for a report of what it fails of."""
        ctx.meta[OPERATOR_COMMAND] = ctx.command_path
        return super().invoke(ctx)
