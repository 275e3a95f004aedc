"""The CI run that a command is part of, from the environment variables of its CI system."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_GIT_TIMEOUT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRun:
    """One run of one job. All attempts at it have the same `scope`; other runs and jobs have others."""

    scope: str | None = None
    commit: str | None = None
    url: str | None = None

    def tags(self) -> dict[str, str]:
        """The provenance of a version, as far as it is known, as tags."""
        known = {"git_commit": self.commit, "run_url": self.url}
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class _CiSystem:
    """Templates over the variables of one CI system; the first one whose variables are all set is used."""

    name: str
    scopes: Sequence[str]
    commit: str
    urls: Sequence[str]


_SYSTEMS: Final = (
    _CiSystem(  # https://docs.github.com/en/actions/reference/workflows-and-actions/variables
        name="github",
        scopes=["{GITHUB_RUN_ID} {GITHUB_JOB}"],
        commit="{GITHUB_SHA}",
        urls=["{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"],
    ),
    _CiSystem(  # https://docs.gitlab.com/ci/variables/predefined_variables/
        name="gitlab",
        scopes=["{CI_PIPELINE_ID} {CI_JOB_NAME}"],
        commit="{CI_COMMIT_SHA}",
        urls=["{CI_PIPELINE_URL}", "{CI_PROJECT_URL}/-/pipelines/{CI_PIPELINE_ID}"],
    ),
    _CiSystem(  # https://circleci.com/docs/reference/variables/
        name="circleci",
        scopes=["{CIRCLE_WORKFLOW_ID} {CIRCLE_JOB}"],
        commit="{CIRCLE_SHA1}",
        urls=["https://app.circleci.com/pipelines/workflows/{CIRCLE_WORKFLOW_ID}"],
    ),
    _CiSystem(  # https://buildkite.com/docs/pipelines/configure/environment-variables
        name="buildkite",
        scopes=["{BUILDKITE_BUILD_ID} {BUILDKITE_STEP_KEY}", "{BUILDKITE_BUILD_ID} {BUILDKITE_LABEL}"],
        commit="{BUILDKITE_COMMIT}",
        urls=["{BUILDKITE_BUILD_URL}"],
    ),
    _CiSystem(  # https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables
        name="jenkins",
        scopes=["{BUILD_TAG}", "{BUILD_URL}"],
        commit="{GIT_COMMIT}",
        urls=["{BUILD_URL}"],
    ),
)


def current_run(environment: Mapping[str, str], source: Path) -> CiRun:
    """The run that the variables describe. Without a commit there, the one of the Git repository around `source`."""
    run = _from_environment(environment)
    return run if run.commit else CiRun(scope=run.scope, commit=_git_head(source), url=run.url)


def _from_environment(environment: Mapping[str, str]) -> CiRun:
    variables = {name: value for name, value in environment.items() if value}
    for system in _SYSTEMS:
        if scope := _first(system.scopes, variables):
            commit = _first([system.commit], variables)
            return CiRun(
                scope=f"{system.name} {scope}",
                commit=commit if commit and _COMMIT_ID.match(commit) else None,
                url=_first(system.urls, variables),
            )
    return CiRun()


def _first(patterns: Sequence[str], variables: Mapping[str, str]) -> str | None:
    for pattern in patterns:
        try:
            return pattern.format_map(variables)
        except KeyError:
            continue
    return None


def _git_head(source: Path) -> str | None:
    """The commit that is checked out around a file or folder, if Git knows one."""
    folder = source if source.is_dir() else source.parent
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_TIMEOUT_SECONDS, check=True)  # noqa: S603 -- no shell
    except (OSError, subprocess.SubprocessError):
        return None
    commit = done.stdout.decode("ascii", "replace").strip()
    return commit if _COMMIT_ID.match(commit) else None
