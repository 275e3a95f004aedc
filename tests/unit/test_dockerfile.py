"""The image, as far as it can be checked without building it; `tests/e2e/test_compose.py` runs its command."""

import json
import re
from fnmatch import fnmatch
from typing import Final

import yaml

from modelkeep.admin import serving
from tests.support import pins
from tests.support.dockerfile import image, stages
from tests.support.programs import REPOSITORY

BY_FILE: Final = ("build.txt", "server.txt")


def is_ignored(path: str) -> bool:
    """What `.dockerignore` says of a path: the last pattern that matches decides."""
    parts = path.split("/")
    verdict = False
    for line in (REPOSITORY / ".dockerignore").read_text().split():
        pattern, kept = line.removeprefix("!"), line.startswith("!")
        candidates = parts if pattern.startswith("**/") else ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch(candidate, pattern.removeprefix("**/")) for candidate in candidates):
            verdict = not kept
    return verdict


def test_the_build_copies_the_sources_alone_and_the_image_the_environment_to_where_it_was_made() -> None:
    build, final = stages()
    assert build[0][1].removesuffix(" AS build") == final[0][1], "an environment needs the Python that made it"
    copied = [source for name, text in build if name == "COPY" for source in text.split()[:-1]]
    assert sorted(copied) == [".requirements", "README.md", "app", "pyproject.toml"]
    assert all((REPOSITORY / source).exists() and not is_ignored(source) for source in copied)
    assert not is_ignored("app/modelkeep/main.py")
    assert not is_ignored("app/modelkeep/manual/concepts.md")
    assert all(map(is_ignored, ["app/modelkeep/__pycache__/main.pyc", "tests/conftest.py", "uv.lock"]))
    (place,) = re.findall(r"uv venv \S+ \S+ (\S+)", str(build))
    assert image()["COPY"] == f"--from=build {place} {place}", "scripts of an environment hold its address"
    assert f"PATH={place}/bin:" in image()["ENV"]


def test_nothing_is_installed_that_has_no_hash() -> None:
    steps = [step.strip() for name, text in stages()[0] if name == "RUN" for step in text.split("&&")]
    libraries = [step for step in steps if " install " in step and "--no-index" not in step]
    assert [re.findall(r"-r (\S+)", step) for step in libraries] == [[f".requirements/{name}"] for name in BY_FILE]
    assert all("--require-hashes" in step for step in libraries)
    assert steps[-2:] == [
        "uv build --wheel --no-build-isolation --python /usr/local/bin/python --out-dir wheel",
        "uv pip install --python /opt/modelkeep --no-deps --no-index wheel/*.whl",
    ]
    assert len(steps) == 5


def test_every_image_is_named_by_tag_and_digest() -> None:
    bases = [text.removesuffix(" AS build") for stage in stages() for name, text in stage if name == "FROM"]
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"].values()
    images = [*bases, *{each["image"] for each in services} - {"modelkeep:local"}]
    assert len(images) == 4
    assert all(pins.PINNED.fullmatch(image) for image in images)


def test_the_service_is_a_user_with_a_fixed_number_who_owns_the_volume() -> None:
    made = image()["RUN"]
    assert image()["USER"] == "10001:10001"
    assert "groupadd --gid 10001 registry" in made
    assert "useradd --uid 10001 --gid registry" in made
    assert "--owner=registry --group=registry --mode=0700 /data" in made
    assert image()["VOLUME"] == "/data"
    assert "MODELKEEP_DATA_DIR=/data" in image()["ENV"]
    assert list(image()).index("RUN") < list(image()).index("VOLUME"), "what is done to a volume later is lost"


def test_the_program_is_process_1_gets_the_signal_and_answers_for_its_health() -> None:
    assert json.loads(image()["ENTRYPOINT"]) == ["modelkeep"]
    assert json.loads(image()["CMD"]) == ["serve", "--host", "0.0.0.0", "--port", image()["EXPOSE"]]
    assert (image()["STOPSIGNAL"], serving.GRACE_SECONDS) == ("SIGTERM", 25)
    assert "http://127.0.0.1:8000/healthz" in image()["HEALTHCHECK"]
