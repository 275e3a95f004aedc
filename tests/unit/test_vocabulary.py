"""One name and one word for each thing: the names that were given up stay out of code and texts."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import REPOSITORY

TEXTS = (".py", ".md", ".toml", ".yml", ".yaml", ".patch", ".sh")
HISTORY = ("app/modelkeep/manual/changes.md", "app/modelkeep/manual/decisions/")
"""Pages that name what was renamed."""

OTHER_MEANINGS = re.compile(
    r"MODELKEEP_TABLE|table '|table `model-registry`|\"table\", \"model-registry\""  # the table, as in the recipe
    r"|\"model-registry\", pattern|model-registry token|mlops"  # its setting, what digests are derived from, a keyword
    r"|_RETIRED: Final|\"modelkeep\", \"model-registry\"\]"  # ids of lifecycle rules that `init` removes
)

RETIRED = (
    "Added|Replaced|Removed|Move|Arrival|Asked|Carrier|Contended|Copies|Downloaded|Downloading|Fetching|Guarded"
    "|GuardedConnection|HeadWatch|Holding|Inspector|IssuerKeys|Listed|Located|LocatedArtifact|Moving|MultipartGone"
    "|MultipartRefused|NumberTakenError|ObjectGone|OutcomeUnknown|OvertakenError|Placement|Refused|Registering"
    "|SharedReads|Shortcut|SignedUrls|Sighting|Slice|StoreUnavailable|Survey|Traced|Turns|Unavailable|Unfinished"
    "|UploadUrls|Uploading|ANYBODY|EVERY_COMMIT|OF_BODIES|OF_WRITES|OTHERWISE"
    "|agrees_with|allow_many_connections|bring_forward|came_by|check_decided|check_way_in|concurrently|drop_expired"
    "|explained|is_answered_from_memory|lend|note_reader|passed_on|recall_stale|refusals_told|seen_from|strays_of"
    "|watch_store|watch_table|head_watch|shared_reads|signed_urls|arrivals|surface"
)
"""Identifiers that a review of names replaced: each has a successor that says what it is."""


def files(*suffixes: str) -> Iterator[Path]:
    folders = (REPOSITORY / name for name in ("app", "tests", ".ci", ".github"))
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    for path in (*found, *(REPOSITORY / name for name in ("README.md", "pyproject.toml", "docker-compose.yml"))):
        if path.suffix in suffixes and path != Path(__file__):
            yield path


def identifiers(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.string


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("old", ["REGISTRY_[A-Z]", "model-registry|model_registry"])
def test_texts_name_the_program_and_its_settings_by_one_name(old: str) -> None:
    found = [
        f"{name_of(path)}: {line.strip()}"
        for path in files(*TEXTS)
        if not name_of(path).startswith(HISTORY)
        for line in path.read_text().splitlines()
        if re.search(old, line) and not OTHER_MEANINGS.search(line)
    ]
    assert found == []


def test_the_product_uses_no_retired_identifier() -> None:
    product = [path for path in files(".py") if name_of(path).startswith("app/")]
    found = {(name_of(path), name) for path in product for name in identifiers(path) if re.fullmatch(RETIRED, name)}
    assert found == set()


def test_no_module_has_a_retired_name() -> None:
    assert [name_of(path) for path in files(".py") if re.fullmatch(RETIRED, path.stem)] == []
