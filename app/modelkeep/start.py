"""Where the program begins. What asks for little loads little: imports are most of the time of a short command."""

import os
import sys
from types import ModuleType
from typing import Final, cast

_NEVER_USED: Final = "httpx._main"
"""The command line of httpx, which would bring click, pygments and rich with every import of httpx."""


def main() -> None:
    """Complete what is typed, say the version, or run the command that is."""
    if os.environ.get("_MODELKEEP_COMPLETE") == "complete_bash":
        from modelkeep.cli.bash_completion import complete_bash  # noqa: PLC0415 -- as little as possible is imported

        if complete_bash(os.environ):
            return
    if sys.argv[1:] == ["--version"]:
        from modelkeep.cli.version import version_line  # noqa: PLC0415 -- see above

        print(version_line())  # noqa: T201 -- typer is not there yet
        return
    sys.modules.setdefault(_NEVER_USED, cast("ModuleType", None))  # so an import says that there is none
    from modelkeep.program import program  # noqa: PLC0415 -- see above

    program()
