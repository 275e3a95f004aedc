"""Where tokens and trust rules are administered: at a registry over HTTP or, with `--direct`, in its storage itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from modelkeep.cli.exit_status import OPERATOR_COMMAND
from modelkeep.cli.output import notice
from modelkeep.cli.session import connected
from modelkeep.domain.errors import UnauthenticatedError

Direct = Annotated[
    bool, typer.Option("--direct", help="Work on the storage that the environment names, without a service.")
]
DIRECT_ADVICE: Final = (
    "If no service answers, or there is no token for it yet, run `{command}` with `--direct` on the machine that has"
    " the storage."
)


@contextmanager
def administered(context: typer.Context, *, direct: bool) -> Iterator[Any]:
    """Open the registry over HTTP or, if `direct`, its storage: for tokens and rules both have the same methods."""
    if direct:
        context.meta[OPERATOR_COMMAND] = f"{context.command_path} --direct"
        yield _storage(context)
        return
    from modelkeep.client.errors import NoTokenError, UnreachableError  # noqa: PLC0415 -- see session.transferring

    try:
        with connected(context) as registry:
            yield registry
    except (UnreachableError, NoTokenError, UnauthenticatedError):
        notice(context, DIRECT_ADVICE.format(command=context.command_path))
        raise


def _storage(context: typer.Context) -> Any:
    program: Any = context.find_root().command
    return program.open_storage()
