"""`modelkeep docs`: the manual in a terminal, in a pipe and as JSON, with the base install alone."""

import re
from pathlib import Path

import pytest

from modelkeep import manual
from modelkeep.cli.markdown import rendered
from tests.client.test_cli_imports import RUN, WITHOUT_A_SERVER, _python
from tests.support.pages import MANUAL
from tests.support.processes.cli import Cli
from tests.support.processes.terminal import COLUMNS, terminal, why_no_terminal

cli = Cli("http://127.0.0.1:9")
"""Nothing listens there, and nothing is asked."""


def test_without_a_topic_it_lists_all_with_a_sentence_each() -> None:
    lines = cli.does("docs")
    assert [line.split("  ")[0] for line in lines] == list(manual.topics())
    assert "Every error is `application/problem+json` (RFC 9457)." in "\n".join(lines)
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize("topic", [*manual.topics(), *manual.decisions()])
def test_in_a_pipe_a_page_is_the_markdown_itself(topic: str) -> None:
    assert "\n".join(cli.does("docs", topic)) + "\n" == (MANUAL / f"{topic}.md").read_text()


def test_as_json_there_is_one_document() -> None:
    assert cli.answer("docs")[0] == {"topic": "concepts", "summary": manual.page("concepts").summary}
    assert cli.answer("docs", "http-api") == {"topic": "http-api", "markdown": (MANUAL / "http-api.md").read_text()}


@pytest.mark.parametrize(
    ("topic", "suggestion"),
    [
        ("kubernetes", "Did you mean kubernetes-and-ecs?"),
        ("opperations", "Did you mean operations?"),
        ("0004", "Did you mean decisions/0004-the-name-modelkeep?"),
        ("nothing-like-it", "`modelkeep docs` lists them all."),
        ("../../pyproject", "`modelkeep docs` lists them all."),
        ("index", "`modelkeep docs` lists them all."),
    ],
)
def test_an_unknown_topic_is_a_usage_error_with_the_nearest_ones(topic: str, suggestion: str) -> None:
    code, sentence = cli.refusal("docs", topic, status=2)
    assert code == "usage"
    assert f"there is no topic '{topic}'. {suggestion}" in sentence


def test_capitals_do_not_matter() -> None:
    assert cli.does("docs", "AWS") == cli.does("docs", "aws")


def test_it_needs_nothing_of_the_server() -> None:
    assert _python(WITHOUT_A_SERVER + RUN, "docs", "settings").startswith("# Settings\n")


def test_on_a_terminal_it_is_rendered_and_paged(tmp_path: Path) -> None:
    if missing := why_no_terminal():
        pytest.skip(missing)
    variables = dict(cli.environment) | {"PAGER": "tee paged"}
    del variables["NO_COLOR"]
    with terminal(tmp_path, variables) as screen:
        assert screen.run("docs", "concepts")[-1] == "status 0"
    paged = (tmp_path / "paged").read_text()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", paged)
    assert plain != paged, "there are colours"
    assert "A model and its versions" in plain
    assert "## A model" not in plain
    assert max(map(len, plain.splitlines())) <= COLUMNS


@pytest.mark.parametrize("topic", [*manual.topics(), *manual.decisions()])
def test_on_80_columns_no_name_is_cut(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    lines = rendered(manual.page(topic).text).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    shown = " ".join(lines)
    rows = re.findall(r"^\| `([^`|]+)`", manual.page(topic).text, re.MULTILINE)
    assert [word for row in rows for word in row.split() if word not in shown] == []
