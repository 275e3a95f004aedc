"""The README, taken apart: what stands in its blocks and tables is held against the program."""

import re
from typing import Any

import yaml

from tests.support.programs import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(fence: str) -> list[str]:
    """The blocks that are fenced with exactly these words."""
    return re.findall(rf"^```{fence}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose head begins with `heading`, cell by cell, without the marks of code."""
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found, f"no table of {heading}"
    rows = [line.strip("|").split("|") for line in found[1].splitlines()]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def document(key: str) -> Any:
    """The YAML block that has a key at its top, or is the deployment of that name."""
    (found,) = (
        each for each in map(yaml.safe_load, blocks("yaml")) if key in {*each, each.get("metadata", {}).get("name")}
    )
    return found
