"""The program `modelkeep` with less patience, so that tests of what it waits for need not wait as long.

python -m tests.support.impatient serve …
"""

from unittest import mock

from modelkeep.__main__ import program
from modelkeep.surface import connections, middleware

HEAD_SECONDS = 1.0
BODY_SECONDS = 2.5
SILENCE_SECONDS = 1.0
DRAIN_SECONDS = 1.0

if __name__ == "__main__":
    with (
        mock.patch.object(connections, "HEAD_SECONDS", HEAD_SECONDS),
        mock.patch.object(connections, "SPREAD_SECONDS", 0.2),
        mock.patch.object(connections, "DRAIN_SECONDS", DRAIN_SECONDS),
        mock.patch.object(middleware, "BODY_SECONDS", BODY_SECONDS),
        mock.patch.object(middleware, "SILENCE_SECONDS", SILENCE_SECONDS),
    ):
        program()
