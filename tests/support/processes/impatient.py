"""The program `modelkeep` of whatever release is on the path, with little patience for a table that does not answer.

python -P -m tests.support.processes.impatient serve …
"""

import runpy
from unittest import mock

from botocore.retries.standard import ExponentialBackoff

from modelkeep.repositories import optimistic_transaction

if __name__ == "__main__":
    with (
        mock.patch.object(optimistic_transaction, "BACKOFF_CAP_SECONDS", 0.02),
        mock.patch.object(optimistic_transaction, "DEADLINE_SECONDS", 0.6),
        mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0),
    ):
        runpy.run_module("modelkeep", run_name="__main__", alter_sys=True)
