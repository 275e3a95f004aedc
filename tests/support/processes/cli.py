"""The client's commands as they are typed, outside every pipeline."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.programs import EXECUTABLE, Said, clean_environment, operate

PIPELINES = (
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",
    "BUILD_TAG",
    "BUILD_URL",
    "CIRCLE_WORKFLOW_ID",
    "BUILDKITE_BUILD_ID",
)


@dataclass(frozen=True)
class Cli:
    """The program in an environment that names a registry."""

    url: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        nothing = dict.fromkeys([*PIPELINES, "GITHUB_ACTIONS"], "")
        return nothing | {"MODELKEEP_URL": self.url, "NO_COLOR": ""} | dict(self.variables)

    def __call__(self, *arguments: object) -> Said:
        """Run a command in this process, without a terminal."""
        return operate(self.environment, *map(str, arguments))

    def does(self, *arguments: object) -> list[str]:
        """Run a command that succeeds; what it printed on standard output."""
        said = self(*arguments)
        assert said.status == 0, said
        return said.out

    def answer(self, *arguments: object) -> Any:
        """Run a command that succeeds; the one document that it printed, with nothing beside it."""
        said = self("--output", "json", *arguments)
        assert said.status == 0, said
        assert said.err == []
        return json.loads("\n".join(said.out))

    def refusal(self, *arguments: object, status: int = 1) -> tuple[str, str]:
        """Run a command that fails: its code and its sentence, the same for people and for programs."""
        said = self(*arguments)
        assert (said.status, said.out) == (status, []), said
        problem = json.loads(self("--output", "json", *arguments).err[-1])
        if problem["code"] != "usage":
            assert said.err[-1] == f"Error: {problem['detail']}"
        return problem["code"], problem["detail"]

    def start(self, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
        """Run a command in a process of its own."""
        environment = clean_environment(self.environment)
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([EXECUTABLE, *map(str, arguments)], env=environment, text=True, **output)
