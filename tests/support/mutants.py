"""The suite on a copy of the project with one bug planted in it: does anything notice?

Most of what a run of pytest costs is the import of libraries, which are the same for every bug. So one program imports
them once, and each run is a fork of it, in which the project itself has not been imported yet.
"""

import compileall
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

REPOSITORY: Final = Path(__file__).parents[2]
_RUNNER: Final = Path(__file__).parent / "processes" / "forked_pytest.py"
_COPIED: Final = ("app", "tests", "pyproject.toml", "README.md")
_OF_THE_RUN_AROUND: Final = ("PYTEST_", "COV_", "COVERAGE_")


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


def copy(folder: Path, changed: Mapping[str, str]) -> None:
    """Make the folder a copy of the project in which these files read otherwise; the others are links."""
    for name in _COPIED:
        (folder / name).symlink_to(REPOSITORY / name)
    for name, text in changed.items():
        file = folder / name
        for above in reversed(file.relative_to(folder).parents[:-1]):
            _unfold(folder / above)
        _unfold(file.parent / "__pycache__")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        file.unlink()
        file.write_text(text)


def _unfold(folder: Path) -> None:
    """Put a folder of links in the place of a link to a folder."""
    if folder.is_symlink():
        linked = folder.readlink()
        folder.unlink()
        folder.mkdir()
        for entry in linked.iterdir():
            (folder / entry.name).symlink_to(entry)


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest came to: its exit status, the tests that passed, and what each failed one says."""

    status: int
    passed: Sequence[str]
    failures: Mapping[str, str]
    printed: str


class ForkedPytest:
    """Runs a selection of the suite in a folder, in a process of its own."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def run(self, folder: Path, selection: Sequence[str]) -> Outcome:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps({"folder": str(folder), "selection": selection}), file=self._program.stdin, flush=True)
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
def forked_pytest() -> Iterator[ForkedPytest]:
    """Import the libraries, and stand by until the end of the block.

    No run writes what it has compiled: that would be beside the project's own files. So those are compiled before.
    """
    for name in ("app", "tests/support"):
        compileall.compile_dir(REPOSITORY / name, quiet=2)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_RUN_AROUND)}
    environment = {**kept, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-P", _RUNNER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        yield ForkedPytest(program)
