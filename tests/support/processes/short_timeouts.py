"""The program `modelkeep` with less patience, so that tests of what it waits for need not wait as long.

python -m tests.support.processes.short_timeouts serve …
"""

from unittest import mock

from modelkeep.__main__ import program
from modelkeep.http.middleware import request_limits
from modelkeep.http.server import hardened_protocol, response_watch

HEAD_SECONDS = 1.0
BODY_SECONDS = 3.5
SILENCE_SECONDS = 2.0
DRAIN_SECONDS = 1.0
STALL_SECONDS = 2.0

if __name__ == "__main__":
    with (
        mock.patch.object(hardened_protocol, "HEADER_TIMEOUT_SECONDS", HEAD_SECONDS),
        mock.patch.object(hardened_protocol, "TIMEOUT_JITTER_SECONDS", 0.2),
        mock.patch.object(hardened_protocol, "DRAIN_SECONDS", DRAIN_SECONDS),
        mock.patch.object(response_watch, "STALL_TIMEOUT_SECONDS", STALL_SECONDS),
        mock.patch.object(response_watch, "SWEEP_SECONDS", 0.2),
        mock.patch.object(request_limits, "BODY_TIMEOUT_SECONDS", BODY_SECONDS),
        mock.patch.object(request_limits, "BODY_IDLE_TIMEOUT_SECONDS", SILENCE_SECONDS),
    ):
        program()
