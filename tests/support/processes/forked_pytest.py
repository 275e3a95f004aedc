"""A program: for each line of its input, run pytest on a mutant of the project in a fork, and answer its exit status.

A line is `{"folder": …, "selection": […], "changed": {…}}`: files of the project that are compiled from another text.
What pytest prints goes to `printed` in the folder, and its report to `report.xml`. What is imported here is what every
run would import anyway, and nothing of the project's that a mutant may change.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

LIBRARIES = (
    "aioboto3",
    "aiobotocore.session",
    "asgi_lifespan",
    "cachetools",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "fastapi",
    "httpx",
    "hypothesis.strategies",
    "jwt",
    "opentelemetry.trace",
    "prometheus_client",
    "pydantic_settings",
    "pytest_asyncio.plugin",
    "pytest_timeout",
    "structlog",
    "uvicorn",
)
OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
    # Nothing of pyproject.toml's options, which are for a run in parallel; and no plugin that no run needs.
    *("-o", "addopts=", "-p", "no:xdist", "-p", "no:schemathesis", "-p", "no:anyio", "-p", "no:pytest_cov"),
    # Some modules have been imported already, so their assertions are not rewritten: they are not what is tested.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


def plant(changed: Mapping[str, str]) -> None:
    """From now on, compile these files from another text when they are imported."""
    get_code = SourceFileLoader.get_code

    def get_changed_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        text = changed.get(loader.path)
        return get_code(loader, name) if text is None else compile(text, loader.path, "exec")

    SourceFileLoader.get_code = get_changed_code  # type: ignore[assignment,method-assign]


def run(folder: Path, selection: Sequence[str], changed: Mapping[str, str]) -> int:
    """The exit status of pytest in a fork."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(printed, stream)
    status = 3
    try:
        plant(changed)
        files = ["--basetemp", str(folder / "temporary"), "--junit-xml", str(folder / "report.xml")]
        status = int(pytest.main([*OPTIONS, *files, *selection]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(f"{run(Path(order['folder']), order['selection'], order['changed'])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
