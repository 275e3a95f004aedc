"""What the command line learns from the pipeline that runs it."""

import subprocess
from pathlib import Path

import pytest

from modelkeep.cli.ci_environment import CiRun, current_run

COMMIT = "1f3e5a7" + "0" * 33

GITHUB = {
    "GITHUB_RUN_ID": "8841",
    "GITHUB_JOB": "train",
    "GITHUB_SHA": COMMIT,
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/models",
    "GITHUB_RUN_ATTEMPT": "1",
}
GITLAB = {
    "CI_PIPELINE_ID": "77",
    "CI_JOB_NAME": "train",
    "CI_COMMIT_SHA": COMMIT,
    "CI_PIPELINE_URL": "https://gitlab.com/acme/models/-/pipelines/77",
    "CI_JOB_ID": "1001",
}
JENKINS = {
    "BUILD_TAG": "jenkins-train-12",
    "BUILD_URL": "https://jenkins.acme.com/job/train/12/",
    "GIT_COMMIT": COMMIT,
}
CIRCLECI = {"CIRCLE_WORKFLOW_ID": "9a-77", "CIRCLE_JOB": "train", "CIRCLE_SHA1": COMMIT, "CIRCLE_BUILD_NUM": "5"}
BUILDKITE = {
    "BUILDKITE_BUILD_ID": "018d",
    "BUILDKITE_STEP_KEY": "train",
    "BUILDKITE_LABEL": "Train",
    "BUILDKITE_COMMIT": COMMIT,
    "BUILDKITE_BUILD_URL": "https://buildkite.com/acme/models/builds/9",
    "BUILDKITE_RETRY_COUNT": "0",
}
ATTEMPTS = {
    "GITHUB_RUN_ATTEMPT": "2",
    "CI_JOB_ID": "1002",
    "CIRCLE_BUILD_NUM": "6",
    "BUILDKITE_RETRY_COUNT": "1",
}
"""What is different in a second attempt."""


@pytest.mark.parametrize(
    ("variables", "scope", "url"),
    [
        (GITHUB, "github 8841 train", "https://github.com/acme/models/actions/runs/8841"),
        (GITLAB, "gitlab 77 train", "https://gitlab.com/acme/models/-/pipelines/77"),
        (JENKINS, "jenkins jenkins-train-12", "https://jenkins.acme.com/job/train/12/"),
        (CIRCLECI, "circleci 9a-77 train", "https://app.circleci.com/pipelines/workflows/9a-77"),
        (BUILDKITE, "buildkite 018d train", "https://buildkite.com/acme/models/builds/9"),
    ],
    ids=["github", "gitlab", "jenkins", "circleci", "buildkite"],
)
def test_a_run_is_recognised_and_its_second_attempt_is_the_same(
    variables: dict[str, str], scope: str, url: str, tmp_path: Path
) -> None:
    run = current_run(variables, tmp_path)
    assert run == CiRun(scope=scope, commit=COMMIT, url=url)
    again = variables | {name: value for name, value in ATTEMPTS.items() if name in variables}
    assert current_run(again, tmp_path) == run


@pytest.mark.parametrize(
    ("variables", "change"),
    [
        (GITHUB, {"GITHUB_JOB": "evaluate"}),
        (GITHUB, {"GITHUB_RUN_ID": "8842"}),
        (GITLAB, {"CI_JOB_NAME": "evaluate"}),
        (JENKINS, {"BUILD_TAG": "jenkins-train-13"}),
        (CIRCLECI, {"CIRCLE_WORKFLOW_ID": "9a-78"}),
        (BUILDKITE, {"BUILDKITE_STEP_KEY": "evaluate"}),
    ],
)
def test_another_run_and_another_job_have_another_scope(
    variables: dict[str, str], change: dict[str, str], tmp_path: Path
) -> None:
    assert current_run(variables | change, tmp_path).scope != current_run(variables, tmp_path).scope


def test_what_is_not_set_is_looked_for_elsewhere(tmp_path: Path) -> None:
    assert current_run(BUILDKITE | {"BUILDKITE_STEP_KEY": ""}, tmp_path).scope == "buildkite 018d Train"
    assert current_run({"BUILD_URL": "https://jenkins/12/"}, tmp_path).scope == "jenkins https://jenkins/12/"
    assert current_run({"GITHUB_RUN_ID": "", "GITHUB_JOB": ""}, tmp_path) == CiRun()
    assert current_run({"GITHUB_RUN_ID": "8841", "GITHUB_JOB": "train"}, tmp_path).url is None


def test_a_symbolic_commit_is_none(tmp_path: Path) -> None:
    assert current_run(BUILDKITE | {"BUILDKITE_COMMIT": "HEAD"}, tmp_path).commit is None


def test_without_a_pipeline_the_commit_is_that_of_the_repository(tmp_path: Path) -> None:
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "Train"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "model.pt").touch()
    for source in (tmp_path, tmp_path / "runs", tmp_path / "runs" / "model.pt"):
        assert current_run({}, source).tags() == {"git_commit": head.stdout.strip()}


@pytest.mark.parametrize("source", ["", "absent/model.pt"])
def test_without_a_repository_there_is_no_commit(source: str, tmp_path: Path) -> None:
    assert current_run({}, tmp_path / source).tags() == {}


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert current_run({}, tmp_path).commit is None
