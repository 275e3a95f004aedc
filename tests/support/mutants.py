"""Mutation testing: the suite on the project with one bug planted in it, which some test must notice.

Most of what a run of pytest costs is the import of libraries, which are the same for every mutant. So one program
imports them once, and each run is a fork of it, in which the changed modules are compiled from the changed text.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.support.processes import forked_pytest

REPOSITORY: Final = Path(__file__).parents[2]
_OF_THE_RUN_AROUND: Final = ("PYTEST_", "COV_", "COVERAGE_", "CI", "BUILD_NUMBER")
"""What begins so; with `CI` set, pytest explains a failed comparison in full, which for 100 kB takes minutes."""


class DoesNotApplyError(Exception):
    """The place that a patch is for is not there, or is there twice."""


@dataclass(frozen=True)
class Hunk:
    """Lines of a file, and what comes in their place."""

    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Patch:
    """A unified diff, and above it a sentence that says what is broken. Where its lines are now makes no difference."""

    sentence: str
    hunks: Sequence[Hunk]

    @classmethod
    def read(cls, path: Path) -> "Patch":
        sentence, *lines = path.read_text().splitlines(keepends=True)
        hunks: list[Hunk] = []
        file = ""
        for is_header, group in groupby(lines, lambda line: line.startswith(("--- a/", "+++ b/", "@@ "))):
            if is_header:
                file = next((line[6:].strip() for line in group if line.startswith("+++ b/")), file)
            else:
                changed = list(group)
                before = "".join(line[1:] for line in changed if line[0] in " -")
                hunks.append(Hunk(file, before, "".join(line[1:] for line in changed if line[0] in " +")))
        return cls(sentence.strip(), hunks)

    def apply(self) -> Mapping[str, str]:
        """The files of the project as they would be, by their names. Raises `DoesNotApplyError`."""
        changed: dict[str, str] = {}
        for hunk in self.hunks:
            text = changed.get(hunk.file) or (REPOSITORY / hunk.file).read_text()
            if (places := text.count(hunk.before)) != 1:
                raise DoesNotApplyError(f"{places} places in {hunk.file} read\n{hunk.before}")
            changed[hunk.file] = text.replace(hunk.before, hunk.after)
        return changed


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest came to: its exit status, the tests that passed, and what each failed one says."""

    status: int
    passed: Sequence[str]
    failures: Mapping[str, str]
    printed: str


class MutantRunner:
    """Runs a selection of the suite on a mutant, in a process of its own."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def run(self, changed: Mapping[str, str], selection: Sequence[str], folder: Path) -> Outcome:
        """`changed` are files of the project as they would be; in the folder is what the run leaves behind."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        texts = {str(REPOSITORY / name): text for name, text in changed.items()}
        order = {"folder": str(folder), "selection": selection, "changed": texts}
        print(json.dumps(order), file=self._program.stdin, flush=True)
        status = int(self._program.stdout.readline())
        passed: list[str] = []
        failures: dict[str, str] = {}
        report = folder / "report.xml"
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            failure = case.find("failure")
            if failure is not None:
                failures[case.get("name", "")] = failure.get("message", "")
            elif len(case) == 0:
                passed.append(case.get("name", ""))
        return Outcome(status, passed, failures, (folder / "printed").read_text())


@contextmanager
def mutant_runner() -> Iterator[MutantRunner]:
    """Import the libraries, and stand by until the end of the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_RUN_AROUND)}
    command = [sys.executable, "-m", forked_pytest.__name__]
    with subprocess.Popen(
        command, env=environment, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield MutantRunner(program)
