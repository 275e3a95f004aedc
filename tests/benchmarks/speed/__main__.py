"""How fast is the service, held against what could be had? Each figure is a ratio of two things measured in turn.

    uv run python -m tests.benchmarks.speed
    uv run python -m tests.benchmarks.speed resolve mlflow --rounds 7 --backends local

Rows, by name: see `ROWS`. The service is `modelkeep serve` in processes of its own, so are the others, and this
one asks; all share the processors of one machine, so only ratios mean anything. Medians over the rounds are printed,
the figure that was wanted beside the one that was reached, and what both are made of.
"""

import argparse
import signal
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from modelkeep.http.server.process_limits import raise_connection_limits
from tests.benchmarks.speed import mlflow, promoting, resolving, robustness, signing, waiting
from tests.benchmarks.speed.results import HEADING, Line, machine, show
from tests.benchmarks.speed.site import SETTINGS, Backend, Scale, Site

LOCAL = ("local",)
AWS = ("ministack", "dynamodb-local")
BACKENDS = LOCAL + AWS


@dataclass(frozen=True)
class Row:
    """What prints some lines, on each of these backends."""

    measure: Callable[[Site, Backend], AsyncIterator[Line]]
    backends: Sequence[str]


ROWS = {
    "resolve": Row(resolving.resolve, BACKENDS),
    "mlflow": Row(mlflow.mlflow, LOCAL),
    "reads": Row(resolving.reads, BACKENDS),
    "artifacts": Row(resolving.artifacts, ("local", "ministack")),
    "promote": Row(promoting.promote, AWS),
    "versions": Row(promoting.versions, BACKENDS),
    "workers": Row(resolving.workers, LOCAL),
    "presign": Row(signing.presign, LOCAL),
    "process": Row(robustness.process, ("local", "ministack")),
    "waiting": Row(waiting.waiting, ("local", "ministack")),
    "overload": Row(robustness.overload, LOCAL),
}


async def run(site: Site, rows: Sequence[str], backends: Sequence[str]) -> bool:
    """Print the lines, and tell whether every row could be measured: one that cannot shall not cost the others."""
    complete = True
    for row in (ROWS[name] for name in rows):
        possible = [name for name in row.backends if name in backends]
        for name in possible[: site.scale.backends]:
            try:
                async for line in row.measure(site, await site.backend(name)):
                    show(line)
            except Exception:  # noqa: BLE001 -- it is printed, and the exit status tells
                traceback.print_exc()
                complete = False
    return complete


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="row", help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, help="of each comparison")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument(
        "--quick", action="store_true", help="only to see that it runs: each row on one backend, and without MLflow"
    )
    given = parser.parse_args()
    scale = Scale().quick() if given.quick else Scale()
    scale = replace(scale, rounds=given.rounds or scale.rounds)
    rows = [name for name in given.rows or ROWS if not (given.quick and name == "mlflow")]
    raise_connection_limits()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    show(f"{machine()}\nthe service: {SETTINGS}\n{HEADING}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        site = Site(scale, Path(folder), stack)
        return 0 if uvloop.run(run(site, rows, given.backends)) else 1


if __name__ == "__main__":
    sys.exit(main())
