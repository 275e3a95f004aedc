"""Where the program begins. A completion that asks the registry alone needs none of the commands, nor their time."""

import os


def main() -> None:
    """Complete what is typed, or run the command that is."""
    if os.environ.get("_MODELKEEP_COMPLETE") == "complete_bash":
        from modelkeep.cli.bash_completion import complete_bash  # noqa: PLC0415 -- as little as possible is imported

        if complete_bash(os.environ):
            return
    from modelkeep.__main__ import program  # noqa: PLC0415 -- see above

    program()
