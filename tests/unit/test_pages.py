"""Every page that people read: README, manual, and what GitHub shows. No block without a check, no link to nowhere."""

import ast
import json
import re
import tomllib
from collections.abc import Callable

import pytest
import typer
import yaml

from modelkeep import manual as shipped
from modelkeep.program import program
from tests.support import manual_tables
from tests.support.pages import MANUAL, Page, every_page, manual
from tests.support.programs import REPOSITORY

PAGES = [pytest.param(page, id=page.name) for page in every_page()]

RUN = {
    "README.md": {"bash", "python", "sh entrypoint"},
    "access.md": {"toml", "console"},
    "aws.md": {"console"},
    "backup-and-restore.md": {"bash backup", "bash restore"},
    "ci.md": {"yaml", "bash aws"},
    "http-api.md": {"sh"},
    "kubernetes-and-ecs.md": {"yaml", "sh entrypoint"},
    "mlflow.md": {"python"},
    "python.md": {"python", "python progress"},
}
"""The fences of each page whose blocks a test runs, or reads as what they are for."""

SHOWN = {"console", "json", "text", "nginx", "promql"}
"""Fences of what is only shown; commands and JSON in them are checked here."""


def test_tables_are_those_that_the_code_makes() -> None:
    for page, wanted in manual_tables.written().items():
        assert page.text == wanted, f"{page.name} is not what `uv run poe docs` writes"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: Page) -> None:
    for file, anchor in page.links():
        target = Page((page.path.parent / file).resolve()) if file else page
        assert target.path.exists(), f"{file} is not there"
        assert not anchor or anchor in target.anchors(), f"{file} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_repository_that_is_named_is_there(page: Page) -> None:
    for path in re.findall(r"`((?:tests|app|\.github)/[a-z_/.-]+)`", page.text):
        assert (REPOSITORY / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_only_shown(page: Page) -> None:
    fences = {words for words, _ in page.fenced()}
    assert fences <= RUN.get(page.path.name, set()) | SHOWN
    assert RUN.get(page.path.name, set()) <= fences


@pytest.mark.parametrize("page", PAGES)
def test_every_block_can_be_read(page: Page) -> None:
    readers: dict[str, Callable[[str], object]] = {
        "json": _read_json,
        "yaml": yaml.safe_load,
        "toml": tomllib.loads,
        "python": ast.parse,
    }
    for fence, body in page.fenced():
        if reader := readers.get(fence.partition(" ")[0]):
            reader(body)


def _read_json(text: str) -> object:
    return json.loads(text.replace("…", "0"))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_block_is_one_and_takes_its_options(page: Page) -> None:
    known = dict(manual_tables.walk_commands(typer.main.get_command(program)))
    for words in page.commands():
        name = next((" ".join(words[:end]) for end in (2, 1) if " ".join(words[:end]) in known), None)
        assert name, f"no command: {words}"
        options = {option for each in known[name].params for option in each.opts}
        assert {word for word in words if re.fullmatch(r"--?[a-z-]+", word)} <= options


def test_the_index_has_every_page_and_decisions_every_decision() -> None:
    assert sorted(shipped.topics()) == sorted({page.stem for page in MANUAL.glob("*.md")} - {"index"})
    listed = [file for file, _ in manual("decisions").links()]
    assert listed == [f"{topic}.md" for topic in shipped.decisions()]


@pytest.mark.parametrize("topic", [*shipped.topics(), *shipped.decisions()])
def test_a_page_begins_with_a_heading_and_a_sentence_for_the_list_of_topics(topic: str) -> None:
    page = shipped.page(topic)
    assert re.match(r"# [A-Z0-9].*\n\n[A-Z]", page.text)
    assert page.summary.endswith(".")
    assert len(page.summary) <= 110
    assert "](" not in page.summary


def test_what_github_reads_can_be_read_and_its_workflow_runs_what_ci_runs() -> None:
    files = {path.name: yaml.safe_load(path.read_text()) for path in (REPOSITORY / ".github").rglob("*.yml")}
    (job,) = files["ci.yml"]["jobs"].values()
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert files["ci.yml"]["permissions"] == {"contents": "read"}
