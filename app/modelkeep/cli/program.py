"""The program's root: what its options mean and how its failures are told, for every command below it."""

from typing import Any

from typer.core import TyperGroup

from modelkeep.cli.exit_status import exit_on_error
from modelkeep.cli.options import Output


class Program(TyperGroup):
    """A group of commands whose failures end in a sentence and a status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with exit_on_error(as_json=ctx.params.get("output") is Output.JSON):
            return super().invoke(ctx)
