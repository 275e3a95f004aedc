"""What a short command costs: the CPU of `--version`, `--help` and `list` over that of `python -c pass`.

    uv run python -m tests.benchmarks.commands --rounds 7

A registry without models, `modelkeep dev` on the same machine. Each round runs each of them once, in turn; CPU is user
and system time of the child. Printed: medians in milliseconds, and medians of the ratios within a round.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.programs import EXECUTABLE, clean_environment, serving
from tests.support.servers import free_port

_NOTHING: Final = "python -c pass"
_COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    _NOTHING: [sys.executable, "-c", "pass"],
    "modelkeep --version": [EXECUTABLE, "--version"],
    "modelkeep --help": [EXECUTABLE, "--help"],
    "modelkeep list": [EXECUTABLE, "list"],
}


def cpu_seconds(command: Sequence[str], variables: Mapping[str, str]) -> float:
    """User and system time of one run. Raises `CalledProcessError`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=variables, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        server = [EXECUTABLE, "dev", "--port", str(port), "--data-dir", str(folder / "data")]
        with serving(server, {}, port=port, log=folder / "log") as running:
            running.wait("/readyz")
            variables = clean_environment({"MODELKEEP_URL": running.url})
            for _ in range(rounds + 1):
                for each, command in _COMMANDS.items():
                    times[each].append(cpu_seconds(command, variables))
    print(f"median of {rounds} rounds, after one to warm up")
    for each, found in times.items():
        ratios = [one / nothing for one, nothing in zip(found[1:], times[_NOTHING][1:], strict=True)]
        print(f"{each:20} {statistics.median(found[1:]) * 1000:7.0f} ms {statistics.median(ratios):6.1f}")


if __name__ == "__main__":
    main()
