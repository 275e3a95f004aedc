"""What the image is made of, pinned: hashes of distributions, digests of images, and the day until which they count.

    uv run poe pins                  the day, .requirements and the SBOM
    uv run poe pins --images         the digests in Dockerfile and docker-compose.yml too; needs Docker

Files of requirements name versions and hashes and no host: they say what is installed, not where it comes from.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
REQUIREMENTS: Final = REPOSITORY / ".requirements"
UV: Final = str(Path(sys.executable).with_name("uv"))
"""That of this environment, whose version is pinned: another one might write the same in another form."""

SBOM: Final = REPOSITORY / ".cache" / "sbom.cdx.json"
"""Not kept in the repository: it has the time and the addresses of its making."""

SETTLING: Final = timedelta(days=7)
"""What is younger is not taken: most malicious releases are found and withdrawn within days."""

PARTS: Final[Mapping[str, Sequence[str]]] = {
    "server.txt": ["--no-dev", "--extra", "server"],
    "build.txt": ["--only-group", "image"],
}
"""What each file of requirements holds, as options of `uv export`."""

PINNED: Final = re.compile(r"(?P<image>[a-z0-9./-]+:[A-Za-z0-9._-]+)@(?P<digest>sha256:[0-9a-f]{64})")
_NEWEST: Final = re.compile(r'(?<=^exclude-newer = ")[^"]*', re.MULTILINE)


def export(name: str) -> str:
    """A file of requirements, from what pyproject resolves to."""
    return _run(UV, "export", "-q", "--no-header", "--no-annotate", "--no-emit-project", *PARTS[name])


def move_day(pyproject: str, day: datetime) -> str:
    """The text of pyproject with another `exclude-newer`."""
    return _NEWEST.sub(f"{day:%Y-%m-%d}T00:00:00Z", pyproject)


def move_digests(text: str, digests: Mapping[str, str]) -> str:
    """The text with the digest of each image that is given; the others stay."""

    def moved(found: re.Match[str]) -> str:
        return f"{found['image']}@{digests.get(found['image'], found['digest'])}"

    return PINNED.sub(moved, text)


def _current_digest(image: str) -> str:
    """The digest of the index of all platforms, from the registry of images."""
    return _run("docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}").strip()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True).stdout


def _move_images() -> None:
    for path in (REPOSITORY / "Dockerfile", REPOSITORY / "docker-compose.yml"):
        text = path.read_text()
        digests = {found["image"]: _current_digest(found["image"]) for found in PINNED.finditer(text)}
        path.write_text(move_digests(text, digests))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--keep-day", action="store_true", help="leave exclude-newer as it is")
    options = parser.parse_args()
    if not options.keep_day:
        pyproject = REPOSITORY / "pyproject.toml"
        pyproject.write_text(move_day(pyproject.read_text(), datetime.now(UTC) - SETTLING))
    _run(UV, "lock", "-q", "--upgrade")
    for name in PARTS:
        (REQUIREMENTS / name).write_text(export(name))
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(_run(UV, "export", "-q", "--format", "cyclonedx1.5", *PARTS["server.txt"]))
    if options.images:
        _move_images()


if __name__ == "__main__":
    main()
