"""The program `modelkeep` with less patience, so that tests of what it waits for need not wait as long.

python -m tests.support.processes.short_timeouts serve …

With `READ_PATIENTLY` in its environment it waits a minute for what it reads, however slow the machine is.
"""

import os
from unittest import mock

from modelkeep.http.middleware import request_limits
from modelkeep.http.server import hardened_protocol, response_watch
from modelkeep.program import program

HEAD_SECONDS = 1.0
BODY_SECONDS = 3.5
SILENCE_SECONDS = 2.0
DRAIN_SECONDS = 1.0
STALL_SECONDS = 2.0

READ_PATIENTLY = "READ_PATIENTLY"

if __name__ == "__main__":
    head, body, silence = (60.0,) * 3 if READ_PATIENTLY in os.environ else (HEAD_SECONDS, BODY_SECONDS, SILENCE_SECONDS)
    with (
        mock.patch.object(hardened_protocol, "HEADER_TIMEOUT_SECONDS", head),
        mock.patch.object(hardened_protocol, "TIMEOUT_JITTER_SECONDS", 0.2),
        mock.patch.object(hardened_protocol, "DRAIN_SECONDS", DRAIN_SECONDS),
        mock.patch.object(response_watch, "STALL_TIMEOUT_SECONDS", STALL_SECONDS),
        mock.patch.object(response_watch, "SWEEP_SECONDS", 0.2),
        mock.patch.object(request_limits, "BODY_TIMEOUT_SECONDS", body),
        mock.patch.object(request_limits, "BODY_IDLE_TIMEOUT_SECONDS", silence),
    ):
        program()
