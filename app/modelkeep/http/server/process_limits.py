"""What a process that has thousands of connections needs of the system and of Python."""

import gc
import resource
from typing import Final

_GARBAGE_THRESHOLD: Final = 10_000
"""New objects after which Python looks for garbage among the young ones; its own default is 700."""


def raise_connection_limits() -> None:
    """Let this process open as many files as it may, for each connection is one; and collect garbage less often.

    A connection is some thirty objects: with Python's own threshold, thousands of new ones make it look through all
    objects several times, for up to 0.2 s during which no request is served.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(_GARBAGE_THRESHOLD)
