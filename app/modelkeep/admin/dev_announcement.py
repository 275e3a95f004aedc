"""What `modelkeep dev` prints when it starts."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path


def lines(address: str, folder: Path) -> Sequence[str]:
    """Where the page, the documentation and the data are, and three commands to copy into another terminal."""
    program = _program()
    return [
        f"Web page  {address}/ui",
        f"API       {address}/docs",
        f"Data      {folder}",
        "",
        f"    export MODELKEEP_URL={address}",
        f"    {program} register my-model ./model.pt",
        f"    {program} download my-model@latest --dest ./serving",
        "",
    ]


def how_to_make_a_token(folder: Path) -> Sequence[str]:
    """A command for the token that clients of other machines must show."""
    return [
        f"Clients must show a token: MODELKEEP_BACKEND=local MODELKEEP_DATA_DIR={shlex.quote(str(folder))} \\",
        f"    {_program()} token create NAME --allow admin --days 30 --direct",
    ]


def _program() -> str:
    """The program as this one was called, where `uv run` is needed to find it."""
    return "uv run modelkeep" if "UV_RUN_RECURSION_DEPTH" in os.environ else "modelkeep"
