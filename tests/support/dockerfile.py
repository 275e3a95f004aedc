"""The Dockerfile's stages, each a list of instructions: a name and the rest of the line."""

import re

from tests.support.programs import REPOSITORY


def stages() -> list[list[tuple[str, str]]]:
    """Every stage, in order, each from its FROM."""
    text = re.sub(r"^\s*#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    found: list[list[tuple[str, str]]] = []
    for name, _, rest in (line.partition(" ") for line in lines if line.strip()):
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


def image() -> dict[str, str]:
    """What counts of the stage that becomes the image: the last instruction of each name."""
    return dict(stages()[-1])
