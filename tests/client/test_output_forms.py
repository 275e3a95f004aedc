"""Answers for programs: JSON, JSON Lines and CSV say the same; `--wide` has everything."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes.cli import Cli

Write = Callable[..., Path]

FORMULA = '=HYPERLINK("https://example.com","7")'
"""A spreadsheet computes what begins like this."""


@pytest.fixture
def cli(url: str) -> Cli:
    return Cli(url)


@pytest.fixture
def registered(cli: Cli, model: str, write: Write) -> str:
    """A model with two versions that differ in metrics, tags and files."""
    cli.does("register", model, write(1000), "--metric", "f1=0.5", "--tag", "team=größe", "--description", FORMULA)
    two = ("--metric", "loss=-0.25", "--metric", "f1=0.75", "--description", 'two\nlines, "quoted"')
    cli.does("register", model, write(**{"a.bin": 10, "b.bin": 20}), *two, "--promote", "production")
    for alias in ("champion", "canary"):
        cli.does("alias", "set", model, alias, 2)
    return model


def rows(cli: Cli, *arguments: object) -> list[dict[str, str]]:
    said = cli("-o", "csv", *arguments)
    assert (said.status, said.err) == (0, []), said
    return list(csv.DictReader(f"{line}\n" for line in said.out))


def objects(cli: Cli, *arguments: object) -> list[Any]:
    said = cli("-o", "jsonl", *arguments)
    assert (said.status, said.err) == (0, []), said
    return [json.loads(line) for line in said.out]


@pytest.mark.parametrize("command", ["list {}", "list", "history {}", "alias list {}"])
def test_json_lines_are_the_entries_of_the_document(cli: Cli, registered: str, command: str) -> None:
    words = command.format(registered).split()
    found = cli.answer(*words)
    assert len(found) >= 2 or command == "list"
    assert objects(cli, *words) == found
    assert [row.keys() for row in rows(cli, *words)] == [rows(cli, *words)[0].keys()] * len(found)


def test_csv_has_a_column_for_each_metric_and_tag_and_alters_nothing(cli: Cli, registered: str) -> None:
    newest, oldest = rows(cli, "list", registered)
    assert (newest["version"], newest["stage"], newest["aliases"]) == ("2", "production", "canary champion")
    assert (newest["metrics.f1"], newest["metrics.loss"], newest["tags.team"]) == ("0.75", "-0.25", "")
    assert (oldest["metrics.f1"], oldest["metrics.loss"], oldest["tags.team"]) == ("0.5", "", "größe")
    assert (oldest["description"], newest["description"]) == (FORMULA, 'two\nlines, "quoted"')
    assert (newest["size"], newest["framework_inferred"]) == ("30", "true")
    assert "artifacts" not in newest
    assert [row["aliases.champion"] for row in rows(cli, "list") if row["model"] == registered] == ["2"]


def test_csv_has_no_characters_that_a_terminal_obeys(cli: Cli, registered: str) -> None:
    cli.does("edit", registered, "--tag", "note=a\x9bb\tc")
    (row,) = rows(cli, "show", registered)
    assert row["tags.note"] == "a\\x9bb\tc"
    assert objects(cli, "show", registered) == [cli.answer("show", registered)]


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("list {} --tag a=b", {"version", "stage", "size", "created_at"}),
        ("history {} --after 99", {"generation", "type", "from", "to", "at"}),
        ("alias list {}", {"alias", "version"}),
    ],
)
def test_an_empty_list_has_a_header(cli: Cli, model: str, write: Write, command: str, columns: set[str]) -> None:
    cli.does("register", model, write(10))
    words = command.format(model).split()
    (header,) = cli.does("-o", "csv", *words)
    assert columns <= set(header.split(","))
    assert not {"artifacts", "metrics", "tags"} & set(header.split(","))
    assert cli.does("-o", "jsonl", *words) == []


def test_a_comparison_is_one_list_of_metrics_tags_and_files(cli: Cli, registered: str) -> None:
    found = objects(cli, "diff", registered, 1, 2)
    assert found == [
        {"kind": "metric", "name": "f1", "a": 0.5, "b": 0.75, "difference": 0.25, "state": None},
        {"kind": "metric", "name": "loss", "a": None, "b": -0.25, "difference": None, "state": None},
        {"kind": "tag", "name": "team", "a": "größe", "b": None, "difference": None, "state": None},
        {"kind": "file", "name": "a.bin", "a": None, "b": 10, "difference": None, "state": "added"},
        {"kind": "file", "name": "b.bin", "a": None, "b": 20, "difference": None, "state": "added"},
        {"kind": "file", "name": "model.pt", "a": 1000, "b": None, "difference": None, "state": "removed"},
    ]
    assert [(row["kind"], row["a"]) for row in rows(cli, "diff", registered, 1, 2)][:2] == [
        ("metric", "0.5"), ("metric", "")
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_single_answer_is_one_line_and_a_failure_a_problem(cli: Cli, model: str, write: Write, form: str) -> None:
    said = cli("-o", form, "register", model, write(10), "--promote", "production")
    assert (said.status, said.err, len(said.out)) == (0, [], 1 + (form == "csv"))
    assert len(cli.does("-o", form, "alias", "set", model, "canary", 1)) == 1 + (form == "csv")
    refused = cli("-o", form, "show", model, 9)
    assert (refused.status, refused.out) == (1, [])
    assert json.loads(refused.err[0])["code"] == "version_not_found"
