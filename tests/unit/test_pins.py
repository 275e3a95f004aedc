"""What is pinned is whole, and moves as a whole."""

import re
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import yaml

from tests.support import pins
from tests.support.programs import REPOSITORY

LINE: Final = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.]+( ; [a-z_]+ [<>=!]+ '[^']+'( and [a-z_]+ [<>=!]+ '[^']+')*)?")
HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")
USES: Final = re.compile(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}")

DIGESTS: Final = ("sha256:" + "a" * 64, "sha256:" + "b" * 64, "sha256:" + "c" * 64)


def workflows() -> dict[str, Any]:
    folder = REPOSITORY / ".github" / "workflows"
    return {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")}


@pytest.mark.parametrize("name", pins.PARTS)
def test_the_hashes_are_those_of_what_pyproject_resolves_to(name: str) -> None:
    """If not: `uv run poe pins --keep-day`."""
    assert (pins.REQUIREMENTS / name).read_text() == pins.export(name)


@pytest.mark.parametrize("name", pins.PARTS)
def test_each_requirement_is_a_version_with_hashes_and_names_no_host(name: str) -> None:
    entries = (pins.REQUIREMENTS / name).read_text().replace(" \\\n    ", "\n").splitlines()
    assert entries
    for entry, following in zip(entries, [*entries[1:], ""], strict=True):
        assert LINE.fullmatch(entry) or HASH.fullmatch(entry), entry
        assert HASH.fullmatch(entry) or HASH.fullmatch(following), f"{entry} has no hash"


def test_the_day_moves_alone() -> None:
    before = (REPOSITORY / "pyproject.toml").read_text()
    after = pins.move_day(before, datetime(2031, 2, 3, 4, tzinfo=UTC))
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert changed == ['exclude-newer = "2031-02-03T00:00:00Z"']
    assert len(after) == len(before)


def test_a_digest_moves_wherever_its_image_is_named() -> None:
    old, new, other = DIGESTS
    text = f"FROM a/b:1@{old} AS build\nFROM a/b:1@{old}\nimage: c:2.0@{other}\n"
    moved = pins.move_digests(text, {"a/b:1": new})
    assert moved == f"FROM a/b:1@{new} AS build\nFROM a/b:1@{new}\nimage: c:2.0@{other}\n"


def test_every_action_is_pinned_by_its_commit() -> None:
    steps = [step for each in workflows().values() for job in each["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert [each for each in used if not USES.fullmatch(each)] == []


def test_the_pins_are_moved_every_month_and_proposed() -> None:
    workflow = workflows()["pins.yml"]
    commands = " ".join(step.get("run", "") for step in workflow["jobs"]["move"]["steps"])
    assert workflow[True]["schedule"] == [{"cron": "0 5 1 * *"}]
    assert "uv run poe pins --images" in commands
    assert "gh pr create" in commands
