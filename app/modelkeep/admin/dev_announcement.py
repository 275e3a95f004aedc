"""What `modelkeep dev` prints when it starts."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path


def lines(address: str, folder: Path) -> Sequence[str]:
    """Where the registry is, and three commands to copy into another terminal."""
    program = _program()
    return [
        f"Model registry on {address} (docs at {address}/docs), data in {folder}",
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
