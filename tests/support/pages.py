"""The README and the manual, taken apart: their blocks are run, and their tables are compared with the program.

`uv run poe docs` writes the tables that are made from the code; see `manual_tables`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.programs import REPOSITORY

ADDRESS: Final = "http://127.0.0.1:8000"
MANUAL: Final = REPOSITORY / "app" / "modelkeep" / "manual"


@dataclass(frozen=True)
class Page:
    """A page in Markdown."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()

    def blocks(self, fence: str) -> list[str]:
        """The blocks that are fenced with exactly these words."""
        return [body for words, body in self.fenced() if words == fence]

    def fenced(self) -> list[tuple[str, str]]:
        """Every block: the words of its fence, and what is in it."""
        return re.findall(r"^```([^\n`]+)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def commands(self) -> list[list[str]]:
        """What the program is called with in blocks, word by word, without `-o`, redirections and what follows."""
        joined = "\n".join(body for words, body in self.fenced() if not words.startswith("python"))
        lines = re.findall(r"(?:^|[\s(;])modelkeep (?:-o [a-z]+ )?([a-z-][^\n|>)#]*)", joined.replace("\\\n", " "))
        return [line.split() for line in lines]

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the table whose header begins with `heading`, cell by cell, without the marks of code."""
        found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", self.text, re.MULTILINE)
        assert found, f"no table of {heading} in {self.name}"
        rows = [line.strip("|").split("|") for line in found[1].splitlines()]
        return [[cell.strip().strip("`") for cell in row] for row in rows]

    def document(self, key: str) -> Any:
        """The YAML block that has a key at its top, or is the deployment of that name."""
        (found,) = (
            each
            for each in map(yaml.safe_load, self.blocks("yaml"))
            if key in {*each, each.get("metadata", {}).get("name")}
        )
        return found

    def anchors(self) -> set[str]:
        """What a link to a heading of this page may end with."""
        prose = re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
        return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def links(self) -> list[tuple[str, str]]:
        """Links within the repository: the file, empty for this page, and the heading, if one is named."""
        targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", self.text)
        return [(file, anchor) for file, _, anchor in (target.partition("#") for target in targets)]


README: Final = Page(REPOSITORY / "README.md")


def manual(topic: str) -> Page:
    """A page of the manual."""
    return Page(MANUAL / f"{topic}.md")


def every_page() -> list[Page]:
    """The README, the manual with its decisions, and what GitHub shows."""
    return [
        README,
        *map(Page, sorted(MANUAL.rglob("*.md"))),
        *map(Page, sorted((REPOSITORY / ".github").rglob("*.md"))),
    ]
