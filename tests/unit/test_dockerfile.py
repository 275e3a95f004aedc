"""The image, as far as it can be checked without building it."""

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest

from modelkeep.admin import serving
from tests.support.dockerfiles import Instruction, Stage, read_stages

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read_stages(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def image(stages: list[Stage]) -> Stage:
    return stages[-1]


def excluded(path: Path) -> bool:
    """What `.dockerignore` says of a path: the last pattern that matches decides."""
    parts = path.relative_to(ROOT).parts
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern, kept = line.removeprefix("!"), line.startswith("!")
        folders = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        candidates = parts if pattern.startswith("**/") else folders
        if any(fnmatch(candidate, pattern.removeprefix("**/")) for candidate in candidates):
            verdict = not kept
    return verdict


def test_two_stages_start_from_the_same_python(stages: list[Stage]) -> None:
    assert [stage.name for stage in stages] == ["build", None]
    assert len({stage.base for stage in stages}) == 1, "an environment only works with the Python that made it"
    assert re.fullmatch(r"python:3\.1[1-9]-slim-[a-z]+", stages[0].base)


def test_the_build_needs_nothing_but_pip_and_uv(stages: list[Stage]) -> None:
    build, image = stages
    commands = [instruction.text for instruction in build.all("RUN")]
    assert [command.split()[:2] for command in commands] == [["pip", "install"], ["uv", "sync"], ["uv", "sync"]]
    assert all("--no-dev" in command for command in commands[1:])
    assert "--no-editable" in commands[2]
    assert not [
        instruction for instruction in image.all("RUN") if "pip" in instruction.text or "uv" in instruction.text
    ]
    assert build.variables()["UV_COMPILE_BYTECODE"] == "1"


def test_every_source_is_there_and_reaches_the_builder(stages: list[Stage]) -> None:
    copies = [(stage, instruction) for stage in stages for instruction in stage.all("COPY")]
    local = [source for _, copy in copies if not copy.options for source in copy.words[:-1]]
    assert sorted(local) == ["README.md", "app", "pyproject.toml"]
    for source in local:
        assert (ROOT / source).exists()
        assert not excluded(ROOT / source)
    assert not excluded(ROOT / "app" / "modelkeep" / "main.py")
    assert excluded(ROOT / "app" / "modelkeep" / "__pycache__" / "main.pyc")
    assert excluded(ROOT / "tests" / "conftest.py")
    assert excluded(ROOT / "uv.lock")


def test_a_later_stage_copies_from_an_earlier_one(stages: list[Stage]) -> None:
    (copy,) = stages[-1].all("COPY")
    assert copy.options == {"from": "build"}
    environment = stages[0].variables()["UV_PROJECT_ENVIRONMENT"]
    assert copy.words == [environment, environment], "scripts of an environment hold its address"
    assert stages[-1].variables()["PATH"].startswith(f"{environment}/bin:")


def test_nobody_is_root_and_the_user_has_a_fixed_number(image: Stage) -> None:
    assert image.last("USER").text == "10001:10001"
    made = image.all("RUN")[0].text
    assert "groupadd --gid 10001" in made
    assert "useradd --uid 10001" in made


def test_the_volume_belongs_to_that_user(image: Stage) -> None:
    assert image.last("VOLUME").text == "/data"
    assert image.variables()["MODELKEEP_DATA_DIR"] == "/data"
    assert re.search(
        r"install --directory --owner=registry --group=registry --mode=0750 /data$", image.all("RUN")[0].text
    )
    order = [instruction.name for instruction in image.instructions]
    assert order.index("RUN") < order.index("VOLUME"), "what is done to a volume after its declaration is lost"


def test_the_program_is_process_1_and_gets_the_signal(image: Stage) -> None:
    assert json.loads(image.last("ENTRYPOINT").text) == ["modelkeep"]
    assert json.loads(image.last("CMD").text) == ["serve", "--host", "0.0.0.0", "--port", "8000"]
    assert image.last("STOPSIGNAL").text == "SIGTERM"
    assert image.last("EXPOSE").text == "8000"
    assert serving.GRACE_SECONDS == 25


def test_health_is_liveness_asked_by_the_image_s_own_python(image: Stage) -> None:
    check = image.last("HEALTHCHECK")
    assert set(check.options) == {"interval", "timeout", "start-period", "retries"}
    kind, _, command = check.text.partition(" ")
    assert kind == "CMD"
    program, flag, code = json.loads(command)
    assert (program, flag) == ("python", "-c")
    assert "http://127.0.0.1:8000/healthz" in code
    compile(code, "HEALTHCHECK", "exec")


def test_instructions_are_known_ones(stages: list[Stage]) -> None:
    known = set("FROM ENV RUN WORKDIR COPY USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD".split())  # noqa: SIM905
    found: list[Instruction] = [instruction for stage in stages for instruction in stage.instructions]
    assert {instruction.name for instruction in found} <= known
    for instruction in found:
        if instruction.name in {"RUN", "COPY", "ENV"}:
            shlex.split(instruction.text)
