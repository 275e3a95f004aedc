"""A program: for each line of its input, run pytest in a fork, and answer its exit status.

A line is `{"folder": …, "selection": […]}`. In the folder is a copy of the project; what pytest prints goes there to
`printed`, and its report to `report.xml`. What is imported here is what every run would import anyway, and nothing of
the project.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence

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
    "limits",
    "opentelemetry.trace",
    "prometheus_client",
    "pydantic_settings",
    "structlog",
    "uvicorn",
)
OPTIONS = (
    *("-n", "0", "-x", "-q", "-p", "no:cacheprovider"),
    *("--basetemp", "temporary", "--junit-xml", "report.xml"),
    # hypothesis has been imported already, so its assertions are not rewritten: they are not what is tested.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


def run(folder: str, selection: Sequence[str]) -> int:
    """The exit status of pytest in a fork."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(folder)
    printed = os.open("printed", os.O_WRONLY | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(printed, stream)
    status = 3
    try:
        status = int(pytest.main([*OPTIONS, *selection]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(f"{run(asked['folder'], asked['selection'])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
