"""What a second version costs of which one file has changed: to register, to store, to download over the one before.

    uv run python -m tests.benchmarks.reuse --rounds 5

Twenty files, one of 10 MiB, whose bytes are new in each round; `modelkeep dev` on the same machine. Each round, in
turn: OpenSSL hashes the folder, `register` sends the next version; a full download, one over the version before, and
one of the version that is there. Printed: medians, and medians of the ratios within a round.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.programs import EXECUTABLE, clean_environment, serving
from tests.support.servers import free_port

MIB = 1024 * 1024
FILES = 20
CHANGED_MIB = 10
MODEL = "fraud-detector"


def write(file: Path, mib: int) -> None:
    with file.open("wb") as content:
        for _ in range(mib):
            content.write(os.urandom(MIB))


def seconds(call: Callable[[], Any]) -> float:
    os.sync()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def stored(folder: Path) -> int:
    """Bytes of all objects."""
    return sum(file.stat().st_size for file in (folder / "data" / "objects").rglob("*") if file.is_file())


class Bench:
    """One registry, and the versions of one folder."""

    def __init__(self, folder: Path, url: str, mib: int) -> None:
        self._folder = folder
        self._variables = clean_environment({"MODELKEEP_URL": url, "XDG_STATE_HOME": str(folder / "state")})
        self._source = folder / "run"
        self._source.mkdir()
        for number in range(FILES - 1):
            write(self._source / f"weights-{number:02}.bin", (mib - CHANGED_MIB) // (FILES - 1))
        self.version = 0
        self.times: dict[str, list[float]] = {}

    def change(self) -> None:
        write(self._source / "head.bin", CHANGED_MIB)

    def register(self) -> None:
        self._run("register", MODEL, str(self._source))
        self.version += 1

    def round(self) -> None:
        over = self._folder / "over"
        self._run("download", f"{MODEL}@{self.version}", "--dest", str(over))
        self.change()
        digest = ["openssl", "dgst", "-sha256", *map(str, sorted(self._source.iterdir()))]
        self._time("hashing", lambda: subprocess.run(digest, check=True, stdout=subprocess.DEVNULL))
        self._time("starting", lambda: self._run("--version"))
        self._time("register", self.register)
        whole = self._folder / f"whole-{self.version}"
        self._time("whole", lambda: self._run("download", f"{MODEL}@{self.version}", "--dest", str(whole)))
        self._time("over", lambda: self._run("download", f"{MODEL}@{self.version}", "--dest", str(over)))
        self._time("again", lambda: self._run("download", f"{MODEL}@{self.version}", "--dest", str(over)))

    def ratio(self, ours: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(self.times[ours], self.times[other], strict=True))

    def _time(self, what: str, call: Callable[[], Any]) -> None:
        self.times.setdefault(what, []).append(seconds(call))

    def _run(self, *arguments: str) -> None:
        command = [EXECUTABLE, *([] if arguments[0] == "--version" else ["--quiet"]), *arguments]
        subprocess.run(command, env=self._variables, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024, help="size of the folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, port = Path(temporary), free_port()
        command = [EXECUTABLE, "dev", "--port", str(port), "--data-dir", str(folder / "data")]
        with serving(
            command, {"MODELKEEP_LOG_LEVEL": "WARNING"}, port=port, log=folder / "log", folder=folder
        ) as server:
            server.wait()
            bench = Bench(folder, server.url, given.mib)
            bench.change()
            bench.register()
            first = stored(folder)
            for _ in range(given.rounds):
                bench.round()
            grown = stored(folder) / first
    print(f"load average {os.getloadavg()[0]:.1f} at the end; {given.rounds} rounds")
    print("| what | seconds | over | ratio |\n|---|---|---|---|")
    for ours, other in (("register", "hashing"), ("over", "whole"), ("again", "whole")):
        print(f"| {ours} | {statistics.median(bench.times[ours]):.2f} | {other} | {bench.ratio(ours, other):.2f} |")
    print(f"starting the program takes {statistics.median(bench.times['starting']):.2f} s of each")
    print(f"stored after {bench.version} versions, over the first: {grown:.2f}")


if __name__ == "__main__":
    main()
