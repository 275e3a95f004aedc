"""The manual: pages in Markdown beside this file, which are installed with the program."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_DECISIONS: Final = "decisions"
_LINK: Final = re.compile(r"^- \[(.+)\]\(\1\.md\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `topic` is its name, such as `http-api`, and `text` its Markdown."""

    topic: str
    text: str

    @property
    def summary(self) -> str:
        """The first sentence below the heading, on one line."""
        paragraph = " ".join(self.text.split("\n\n")[1].split())
        return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]


def topics() -> Sequence[str]:
    """The topics that the index lists, in its order."""
    return _LINK.findall(_read("index"))


def page(topic: str) -> Page:
    """A topic of the index, or a decision by its name below `decisions/`. Raises `KeyError` for any other."""
    if topic not in {*topics(), *decisions()}:
        raise KeyError(topic)
    return Page(topic, _read(topic))


def decisions() -> Sequence[str]:
    """The topics of all decisions, the first one first."""
    names = (entry.name for entry in files(__name__).joinpath(_DECISIONS).iterdir())
    return [f"{_DECISIONS}/{name.removesuffix('.md')}" for name in sorted(names) if name.endswith(".md")]


def _read(topic: str) -> str:
    return files(__name__).joinpath(*f"{topic}.md".split("/")).read_text("utf-8")
