"""Every command of the client, for people and for programs, against a server in a process of its own."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes.cli import Cli

Write = Callable[..., Path]

RUN = {
    "GITHUB_RUN_ID": "8841",
    "GITHUB_JOB": "train",
    "GITHUB_SHA": "1f" * 20,
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/models",
}


@pytest.fixture
def cli(dev_url: str) -> Cli:
    return Cli(dev_url)


@pytest.fixture
def api(dev_url: str) -> Callable[[str], Any]:
    """What the registry itself answers."""
    return lambda path: httpx.get(f"{dev_url}/v1/models{path}", trust_env=False).json()


@pytest.fixture
def registered(cli: Cli, model: str, write: Write) -> str:
    """A model with three versions; the second is production, and has an alias."""
    for number in range(1, 4):
        assert cli.does("register", model, write(1000), "--metrics", f'{{"f1": 0.{number}}}') == [str(number)]
    cli.does("promote", model, 2)
    cli.does("alias", "set", model, "champion", 2)
    return model


# the four that scripts depend on


def test_the_main_job_as_it_is_typed(cli: Cli, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"fraud-detector-{tmp_path.name}"
    write(5000, folder="")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "model.pt").rename("checkpoints/model.pt")
    metadata = ["--framework", "pytorch", "--metrics", '{"accuracy": 0.967, "f1": 0.941}']
    for _ in range(4):
        cli.does("register", name, "./checkpoints/model.pt", *metadata, "--description", "Retrained on Jan 2026 data")
    assert len(cli.does("list", name)) == 5
    cli.does("promote", name, 4, "production")
    assert len(cli.does("list", name, "--stage", "production")) == 2
    assert cli.does("download", name, "--dest", "./serving") == ["serving/model.pt"]
    assert cli.does("download", name, "--version", 3, "--dest", "./serving-3") == ["serving-3/model.pt"]
    assert Path("serving/model.pt").read_bytes() == Path("checkpoints/model.pt").read_bytes()


# register


def test_register_prints_the_number_and_sums_up_beside_it(cli: Cli, model: str, write: Write) -> None:
    said = cli("register", model, write(3_000_000))
    assert (said.status, said.out) == (0, ["1"])
    assert said.err[:2] == ["Hashing 1 file, 2.9 MiB", "Uploading 1 file, 2.9 MiB"]
    assert re.fullmatch(
        rf"Registered {model} v1 \(pytorch, inferred\): 1 file, 2\.9 MiB in [\d.]+ s \([\d.]+ [KM]iB/s\)", said.err[2]
    )
    assert cli("--quiet", "register", model, write(100)).err == []


def test_register_answers_as_the_api_does(
    cli: Cli, api: Callable[[str], Any], model: str, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "metrics.json").write_text('{"f1": 0.941, "epochs": 3}')
    metadata = ["--framework", "onnx", "--metrics", f"@{tmp_path / 'metrics.json'}", "--description", "New"]
    answer = cli.answer("register", model, write(100), *metadata, "--tag", "team=risk", "--tag", "note=a=b")
    assert answer == {**api(f"/{model}/versions/1"), "same_files_as": None}
    assert (answer["framework"], answer["metrics"]) == ("onnx", {"f1": 0.941, "epochs": 3.0})
    assert (answer["description"], answer["tags"]) == ("New", {"team": "risk", "note": "a=b"})


def test_register_takes_the_files_that_the_patterns_let_through(cli: Cli, model: str, write: Write) -> None:
    folder = write(**{"a.bin": 10, "b.bin": 10, "logs/c.log": 10})
    answer = cli.answer("register", model, folder, "--include", "*.bin", "--include", "*.log", "--exclude", "b.*")
    assert [artifact["path"] for artifact in answer["artifacts"]] == ["a.bin", "logs/c.log"]


def test_register_makes_one_archive_of_a_folder(cli: Cli, model: str, write: Write) -> None:
    answer = cli.answer("register", model, write(**{"a.bin": 10, "b.bin": 10}), "--zip")
    assert [artifact["path"] for artifact in answer["artifacts"]] == ["run-7.zip"]


def test_register_says_of_which_run_and_from_where(cli: Cli, model: str, write: Write) -> None:
    answer = cli.answer("register", model, write(10), "--run-id", "8841", "--source", "s3://runs/8841/model")
    assert (answer["run_id"], answer["source"], answer["tags"]) == ("8841", "s3://runs/8841/model", {})
    card = _card(cli.does("show", model, 1))
    assert (card["run"], card["source"]) == ("8841", "s3://runs/8841/model")


def test_register_promotes_when_it_is_done(cli: Cli, model: str, write: Write) -> None:
    said = cli("register", model, write(100), "--promote", "production")
    assert (said.status, said.out) == (0, ["1"])
    assert said.err[-1] == f"{model} v1 is in stage production"
    assert cli.answer("register", model, write(100), "--promote", "archived")["stage"] == "archived"


def test_a_key_makes_a_repeat_the_same_version(cli: Cli, model: str, write: Write) -> None:
    source = write(100)
    assert cli.does("register", model, source, "--idempotency-key", "k") == ["1"]
    assert cli.does("register", model, source, "--idempotency-key", "k") == ["1"]
    assert cli.does("register", model, source) == ["2"]


def _in_a_pipeline(url: str, **changes: str) -> Cli:
    return Cli(url, RUN | changes)


def test_a_repeated_job_gets_the_same_version_and_other_bytes_another_one(
    dev_url: str, model: str, write: Write
) -> None:
    job = _in_a_pipeline(dev_url)
    first = write(100)
    assert job.does("register", model, first) == ["1"]
    assert _in_a_pipeline(dev_url, GITHUB_RUN_ATTEMPT="2").does("register", model, first) == ["1"]
    assert job.does("register", model, write(100)) == ["2"]
    assert _in_a_pipeline(dev_url, GITHUB_RUN_ID="8842").does("register", model, write(100)) == ["3"]


def test_a_repeated_job_does_not_undo_what_was_promoted_since(dev_url: str, model: str, write: Write) -> None:
    job, source = _in_a_pipeline(dev_url), write(**{"model.pt": 100})
    job.does("register", model, source, "--promote", "production")
    Cli(dev_url).does("register", model, write(100), "--promote", "production")
    assert job.does("register", model, source, "--promote", "production") == ["1"]
    assert Cli(dev_url).answer("show", model)["production_version"] == 2


def test_a_pipeline_is_recorded_and_an_explicit_tag_wins(dev_url: str, model: str, write: Write) -> None:
    tags = _in_a_pipeline(dev_url).answer("register", model, write(100), "--tag", "git_commit=mine")["tags"]
    assert tags == {"git_commit": "mine", "run_url": "https://github.com/acme/models/actions/runs/8841"}


# download


@pytest.mark.parametrize(
    ("at", "option"), [("@3", []), ("@latest", []), ("", ["--version", "3"]), ("", ["--version", "v3"])]
)
def test_download_takes_a_ref_either_way(cli: Cli, registered: str, tmp_path: Path, at: str, option: list[str]) -> None:
    answer = cli.answer("download", f"{registered}{at}", *option, "--dest", tmp_path / "there")
    assert (answer["version"], answer["path"]) == (3, str(tmp_path / "there" / "model.pt"))


def test_download_prints_only_the_path_and_sums_up_beside_it(cli: Cli, registered: str, tmp_path: Path) -> None:
    said = cli("download", registered, "--dest", tmp_path / "there")
    assert (said.status, said.out) == (0, [str(tmp_path / "there" / "model.pt")])
    assert re.fullmatch(rf"Downloaded {registered} v2: 1 file, 1000 B in [\d.]+ s \([\d.]+ \w*B/s\)", said.err[-1])
    again = cli("download", registered, "--dest", tmp_path / "there", "--if-changed")
    assert (again.out, again.err) == (said.out, [f"{registered} v2 is there: 1 file, 1000 B"])


def test_download_answers_with_what_is_there(
    cli: Cli, api: Callable[[str], Any], registered: str, tmp_path: Path
) -> None:
    answer = cli.answer("download", registered, "--dest", tmp_path / "there")
    version = api(f"/{registered}/versions/2")
    assert answer == {
        "path": str(tmp_path / "there" / "model.pt"),
        **{
            name: version[name]
            for name in ("model", "version", "stage", "commit", "framework", "s3_path", "artifacts", "empty_folders")
        },
        "generation": api(f"/{registered}")["generation"],
        "changed": True,
        "size": 1000,
    }
    assert cli.answer("download", registered, "--dest", tmp_path / "there", "--if-changed")["changed"] is False


def test_download_picks_files(cli: Cli, model: str, write: Write, tmp_path: Path) -> None:
    cli.does("register", model, write(**{"a.bin": 10, "b.bin": 10, "c.json": 10}))
    (path,) = cli.does(
        "download", f"{model}@1", "--path", "a.*", "--path", "*.json", "--dest", tmp_path / "there", "--jobs", 2
    )
    names = {entry.name for entry in Path(path).iterdir() if not entry.name.startswith(".")}
    assert names == {"a.bin", "c.json"}


# looking


def test_list_shows_models_and_versions(cli: Cli, registered: str) -> None:
    heading, *lines = cli.does("list", registered)
    assert heading.split() == ["version", "stage", "aliases", "size", "framework", "f1", "created"]
    assert [line.split()[:2] for line in lines] == [["v3", "staging"], ["v2", "production"], ["v1", "staging"]]
    assert "champion" in lines[1]
    assert "0.2" in lines[1].split()
    (line,) = [line for line in cli.does("list") if line.startswith(f"{registered} ")]
    assert line.split()[1:4] == ["v2", "v3", "champion=v2"]


def test_list_answers_with_arrays(cli: Cli, api: Callable[[str], Any], registered: str) -> None:
    assert cli.answer("list", registered) == api(f"/{registered}/versions")["items"]
    assert (
        cli.answer("list", registered, "--stage", "production")
        == api(f"/{registered}/versions?stage=production")["items"]
    )
    assert cli.answer("list", registered, "--stage", "archived") == []
    assert api(f"/{registered}") in cli.answer("list")


def test_an_empty_list_is_a_notice(cli: Cli, registered: str) -> None:
    said = cli("list", registered, "--stage", "archived")
    assert (said.status, said.out, said.err) == (0, [], ["There are no such versions."])


def test_show_prints_all_of_a_model_and_of_a_version(cli: Cli, api: Callable[[str], Any], registered: str) -> None:
    assert cli.answer("show", registered) == api(f"/{registered}")
    assert cli.answer("show", registered, "champion") == api(f"/{registered}/versions/2")
    assert _card(cli.does("show", registered))["production"] == "v2"
    lines = cli.does("show", registered, "v2")
    assert _card(lines)["commit"] == api(f"/{registered}/versions/2")["commit"]
    assert lines[-1].split() == ["model.pt", "1000", "B", api(f"/{registered}/versions/2")["artifacts"][0]["sha256"]]


def _card(lines: list[str]) -> Mapping[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}


def test_history_lists_what_happened(cli: Cli, api: Callable[[str], Any], registered: str) -> None:
    events = cli.answer("history", registered)
    assert events == api(f"/{registered}/events?limit=100")["items"]
    assert cli.answer("history", registered, "--after", 6) == events[6:]
    lines = cli.does("history", registered, "--after", 6)
    assert [re.split(" {2,}", line.strip())[2:] for line in lines[1:]] == [
        ["stage changed", "v2", "staging → production", "anonymous"],
        ["alias set", "v2", "champion → v2", "anonymous"],
    ]


def test_foreign_text_is_shown_on_one_line(cli: Cli, registered: str) -> None:
    cli.does("promote", registered, 3, "--comment", "two\nlines\tand \u009b31m")
    line = cli.does("history", registered)[-1]
    assert line.endswith("two lines and 31m")


# changing


def test_promote_with_a_precondition(cli: Cli, registered: str) -> None:
    (said,) = cli.does("promote", registered, "v3", "--expect", 2)
    assert said.startswith(f"{registered} v3 is in stage production; v2, ")
    assert cli.does("promote", registered, 3, "archived") == [
        f"{registered} v3 is in stage archived; {registered} has no production version now"
    ]
    assert cli.answer("promote", registered, 1, "production", "--expect", "none", "--comment", "Old")["version"] == 1
    assert cli.answer("history", registered)[-1]["comment"] == "Old"


def test_rollback(cli: Cli, registered: str) -> None:
    cli.does("promote", registered, 3)
    (said,) = cli.does("rollback", registered, "--expect", 3, "--comment", "f1 fell")
    assert said.startswith(f"{registered} v2 is in stage production again; v3, ")
    cli.does("promote", registered, 3)
    assert cli.answer("rollback", registered)["version"] == 2


def test_aliases_are_set_and_removed(cli: Cli, registered: str) -> None:
    assert cli.does("alias", "set", registered, "canary", "v3") == [f"{registered}@canary is v3"]
    answer = cli.answer("alias", "set", registered, "canary", 1)
    assert (answer["model"], answer["alias"], answer["version"]) == (registered, "canary", 1)
    assert cli.does("alias", "rm", registered, "canary") == [f"{registered}@canary is removed"]
    assert cli.answer("alias", "rm", registered, "champion") == {"model": registered, "alias": "champion"}


def test_edit_changes_a_version_and_a_model(cli: Cli, registered: str) -> None:
    metadata = ["--description", "Better", "--metrics", '{"auc": 0.5}', "--tag", "a=1", "--remove-metric", "f1"]
    answer = cli.answer("edit", registered, 1, *metadata)
    assert (answer["description"], answer["metrics"], answer["tags"]) == ("Better", {"auc": 0.5}, {"a": "1"})
    assert _card(cli.does("edit", registered, "v1", "--remove-tag", "a"))["metrics"] == "auc=0.5"
    assert cli.answer("edit", registered, "--description", "A model", "--tag", "owner=risk")["tags"] == {
        "owner": "risk"
    }
    assert _card(cli.does("edit", registered, "--remove-tag", "owner"))["description"] == "A model"


def test_copy_makes_a_version_of_another_ones_files(cli: Cli, registered: str) -> None:
    other = f"{registered}-2"
    said = cli("copy", f"{registered}@champion", other, "--tag", "reason=baseline", "--metric", "auc=0.5")
    assert (said.status, said.out, said.err) == (0, ["1"], [f"{other} v1 has the files of {registered} v2"])
    answer = cli.answer("show", other, 1)
    assert (answer["metrics"], answer["tags"], answer["source"]) == (
        {"auc": 0.5, "f1": 0.2},
        {"reason": "baseline"},
        f"models:/{registered}/2",
    )
    assert cli.answer("copy", f"{registered}@2", registered, "--description", "")["version"] == 4
    refused = cli("copy", registered, other)
    assert (refused.status, refused.out) == (2, [])


def test_create_makes_a_model_without_versions(cli: Cli, model: str) -> None:
    assert _card(cli.does("create", model, "--description", "Cards", "--tag", "team=risk"))["description"] == "Cards"
    answer = cli.answer("create", model, "--description", "other")
    assert (answer["description"], answer["tags"], answer["latest_version"]) == ("Cards", {"team": "risk"}, None)
    assert _card(cli.does("show", model))["description"] == "Cards"
    assert cli.answer("list", model) == []
    said = cli("download", model)
    assert (said.status, said.out) == (1, [])
    assert said.err == [f"Error: No version of '{model}' is in production. Promote one first."]


def test_delete_and_restore(cli: Cli, registered: str) -> None:
    assert cli.does("delete", registered, 3, "--yes") == [f"{registered} v3 is deleted"]
    assert cli.does("restore", registered, 3) == [f"{registered} v3 is in stage staging again"]
    assert cli.answer("delete", registered, 3, "-y") == {"model": registered, "version": 3}
    assert cli.answer("restore", registered, 3)["version"] == 3


def test_delete_a_model(cli: Cli, model: str, write: Write) -> None:
    cli.does("register", model, write(10))
    assert cli.does("delete", model, "--yes") == [f"{model} is deleted"]
    cli.does("register", model, write(10))
    assert cli.answer("delete", model, "--yes") == {"model": model}


# options before the command


def test_the_registry_is_named_by_an_option_or_the_environment(dev_url: str, registered: str) -> None:
    elsewhere = Cli("http://127.0.0.1:1")
    assert elsewhere("--url", dev_url, "list", registered).status == 0


def test_the_version_is_printed() -> None:
    (line,) = Cli("")("--version").out
    assert re.fullmatch(r"modelkeep \d+\.\d+\.\d+", line)


def test_documents_are_never_coloured(dev_url: str, registered: str) -> None:
    said = Cli(dev_url, {"FORCE_COLOR": "1"})("-o", "json", "list", registered)
    assert json.loads("\n".join(said.out))
    assert "\x1b" not in "".join(said.out)


@pytest.mark.parametrize("command", [[], ["show"], ["alias", "set"], ["serve"]], ids=" ".join)
def test_help_has_a_short_name(command: list[str]) -> None:
    cli = Cli("")
    assert cli.does(*command, "-h") == cli.does(*command, "--help")


def test_a_metric_is_given_by_itself(cli: Cli, model: str, write: Write) -> None:
    source = write(10)
    answer = cli.answer(
        "register", model, source, "--metrics", '{"f1": 0.1, "auc": 1}', "--metric", "f1=0.9", "--metric", "a=b=-2e3"
    )
    assert answer["metrics"] == {"f1": 0.9, "auc": 1.0, "a=b": -2000.0}
    assert cli.answer("edit", f"{model}@1", "--metric", "auc=0.5")["metrics"] == {"f1": 0.9, "auc": 0.5, "a=b": -2000.0}
    for wrong in ("f1", "=1", "f1=high", "f1=nan", "f1=1e999"):
        code, said = cli.refusal("register", model, source, "--metric", wrong, status=2)
        assert (code, said.partition("'--metric': ")[2]) == (
            "usage",
            f"'{wrong}' is not of the form name=number, like f1=0.94.",
        )
