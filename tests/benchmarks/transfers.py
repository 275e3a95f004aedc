"""Uploads and downloads by the command line, against curl and sha256sum doing the same job at the same store.

    uv run python -m tests.benchmarks.transfers --rounds 5

Each round, in turn, the other first every other time, on fresh storage: the whole of `register` and of `download`, and
the whole of what a script would do instead. That is: `sha256sum`, begin, one curl process for all presigned URLs
(`--parallel` for many files), complete; and locate, one curl process, `sha256sum --check`. Printed: medians, the ratio
(curl's time over ours), and how much memory our process took at most. The service is `modelkeep dev` on the same
machine: it, too, hashes every byte, and waits for the disk. Our downloads wait for the disk as well, curl's do not.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from modelkeep.client.local_files import HashedFile, find_tree, hash_file
from tests.support.programs import EXECUTABLE, Server, clean_environment, serving
from tests.support.servers import free_port

MIB = 1024 * 1024


@dataclass
class Case:
    """Files of one kind, and what was measured on them: seconds by name, bytes of memory."""

    name: str
    source: Path
    total: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)

    def note(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)

    def row(self, direction: str) -> str:
        ours, theirs = (statistics.median(self.seconds[f"{who} {direction}"]) for who in ("ours", "curl"))
        pairs = zip(self.seconds[f"ours {direction}"], self.seconds[f"curl {direction}"], strict=True)
        ratio = statistics.median(other / own for own, other in pairs)
        rate = self.total / MIB / ours
        return f"| {self.name} | {direction} | {ours:.2f} s ({rate:.0f} MiB/s) | {theirs:.2f} s | {ratio:.2f} |"


def make(folder: Path, name: str, *, count: int, size: int) -> Case:
    source = folder / name.replace(" ", "-")
    source.mkdir()
    for number in range(count):
        with (source / f"weights-{number:03}.bin").open("wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
    return Case(name, source if count > 1 else source / "weights-000.bin", count * size)


def timed(call: Callable[[], Any], scratch: Path, size: int) -> float:
    """Seconds of a call. What was written before is on disk already, and `size` bytes of free memory have been used.

    A virtual machine gets memory at its first use: seconds for a GiB, which one side would pay and the other not.
    """
    with scratch.open("wb") as file:
        for _ in range(size // MIB):
            file.write(bytes(MIB))
    os.sync()
    scratch.unlink()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def ours(case: Case, server: Server, state: Path, *arguments: str) -> None:
    """Run the command line in a process of its own, and note its memory."""
    variables = clean_environment({"MODELKEEP_URL": server.url, "XDG_STATE_HOME": str(state)})
    process = subprocess.Popen([EXECUTABLE, "--quiet", *arguments], env=variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    case.memory.append(usage.ru_maxrss * 1024)


def curl(config: str, folder: Path, *options: str) -> None:
    (folder / "curl.txt").write_text(config)
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--no-progress-meter",
        "--fail",
        *options,
        "--config",
        str(folder / "curl.txt"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def transfer(signed: dict[str, Any], line: str) -> str:
    headers = "".join(f"header = {json.dumps(f'{name}: {value}')}\n" for name, value in signed["headers"].items())
    return f"next\nurl = {json.dumps(signed['url'])}\nrequest = {signed['method']}\n{headers}{line}\n"


class ByCurl:
    """What a script does that has curl and the core utilities; digests of parts are its gift."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._http = httpx.Client(base_url=server.url, timeout=300, trust_env=False)
        self._folder = folder

    def split(self, hashed: Sequence[HashedFile]) -> None:
        """Cut into parts what goes up in parts; nobody's time."""
        for each in hashed:
            if len(each.parts) > 1:
                command = ["split", "-b", str(each.part_size), "-a", "3", "--numeric-suffixes=1"]
                subprocess.run([*command, each.file.source, self._folder / f"{each.file.path}."], check=True)

    def upload(self, model: str, hashed: Sequence[HashedFile]) -> None:
        subprocess.run(["sha256sum", *(each.file.source for each in hashed)], check=True, stdout=subprocess.DEVNULL)
        known = {each.file.path: each for each in hashed}
        declared = [{"path": each.file.path, "size": each.file.size, "sha256": each.sha256} for each in hashed]
        begun = self._ask("POST", f"/v1/models/{model}/versions", json={"artifacts": declared})
        where = f"/v1/models/{model}/versions/{begun['version']}"
        config = ""
        for artifact in begun["artifacts"]:
            each = known[artifact["path"]]
            if artifact["multipart"] is None:
                config += transfer(artifact["upload"], f"upload-file = {each.file.source}")
                continue
            parts = [{"number": number, "sha256": sha256} for number, sha256 in enumerate(each.parts, 1)]
            signed = self._ask("POST", f"{where}/upload/parts", json={"path": each.file.path, "parts": parts})
            for part in signed["parts"]:
                config += transfer(part, f"upload-file = {self._folder / each.file.path}.{part['number']:03}")
        curl(config.removeprefix("next\n"), self._folder, *parallel(hashed))
        self._ask("POST", f"{where}/complete")

    def download(self, model: str, dest: Path) -> None:
        dest.mkdir()
        located = self._ask("GET", f"/v1/models/{model}/versions/latest/download")
        artifacts = located["artifacts"]
        config = "".join(transfer(each, f"output = {dest / each['path']}") for each in artifacts)
        curl(config.removeprefix("next\n"), self._folder, *parallel(artifacts))
        sums = "".join(f"{each['sha256']}  {dest / each['path']}\n" for each in artifacts)
        subprocess.run(["sha256sum", "--check", "--quiet"], input=sums, text=True, check=True)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        return self._http.request(method, path, **options).raise_for_status().json()


def parallel(files: Sequence[Any]) -> list[str]:
    return ["--parallel", "--parallel-max", "8"] if len(files) > 1 else []


def measure(case: Case, folder: Path, workers: int, *, curl_first: bool) -> None:
    port = free_port()
    command = [EXECUTABLE, "dev", "--port", str(port), "--workers", str(workers), "--data-dir", str(folder / "data")]
    with serving(command, {"MODELKEEP_LOG_LEVEL": "WARNING"}, port=port, log=folder / "log", folder=folder) as server:
        server.wait()
        by_curl = ByCurl(server, folder)
        with ThreadPoolExecutor(1) as beside:
            hashed = [hash_file(file, beside, lambda _: None) for file in find_tree(case.source).files]
        by_curl.split(hashed)
        register = ("register", "ours", str(case.source))
        download = ("download", "ours@latest", "--dest", str(folder / "by-us"))
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("curl upload", lambda: by_curl.upload("by-curl", hashed)),
            ("ours upload", lambda: ours(case, server, folder, *register)),
            ("curl download", lambda: by_curl.download("by-curl", folder / "by-curl")),
            ("ours download", lambda: ours(case, server, folder, *download)),
        ]
        first, second, third, fourth = steps
        for what, call in steps if curl_first else (second, first, fourth, third):
            case.note(what, timed(call, folder / "scratch", 2 * case.total + 512 * MIB))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mib", type=int, default=2048, help="size of the one file")
    parser.add_argument("--files", type=int, default=200, help="how many files of 5 MiB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cases = [
            make(Path(temporary), f"one file of {given.mib} MiB", count=1, size=given.mib * MIB),
            make(Path(temporary), f"{given.files} files of 5 MiB", count=given.files, size=5 * MIB),
        ]
        for round_ in range(given.rounds):
            for case in cases:
                folder = Path(temporary) / "round"
                folder.mkdir()
                measure(case, folder, given.workers, curl_first=round_ % 2 == 0)
                shutil.rmtree(folder)
    print("| what | direction | ours | curl + sha256sum | ratio |\n|---|---|---|---|---|")
    for case in cases:
        print(case.row("upload"), case.row("download"), sep="\n")
        print(f"most memory of our process: {max(case.memory) / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
