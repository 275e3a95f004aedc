"""What `--version` prints."""

from importlib.metadata import version


def version_line() -> str:
    """The name of the program and its version."""
    return f"modelkeep {version('modelkeep')}"
