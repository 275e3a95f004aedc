"""Texts for curl, sha256sum and a shell stay one entry a file, whatever somebody else's bucket calls its objects."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.downloads import Download, SignedArtifact, SignedArtifacts
from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.schemas.download_texts import check_file, curl_config
from tests.support.api import sha256
from tests.support.builders import NOW, version

CONTENT = b"weights"
PATHS = ["a\nurl = file:b", 'q"uo\\te', "c\r\td", "\\", "*?[1-2]{a,b}#1", "-o", "größe"]


@pytest.fixture
def located(tmp_path: Path) -> SignedArtifacts:
    """What the public recipe wrote, of which sizes and digests are known by now."""
    origin = tmp_path / "origin"
    origin.write_bytes(CONTENT)
    url = PresignedUrl(method="GET", url=origin.as_uri(), headers={}, expires_at=NOW + timedelta(hours=1))
    digest = Digest(sha256(CONTENT))
    return SignedArtifacts(
        [
            SignedArtifact(artifact=Artifact(path=path, size=len(CONTENT), sha256=digest, key=path), url=url)
            for path in PATHS
        ]
    )


def run(command: list[str], given: str, folder: Path) -> str:
    done = subprocess.run(command, input=given.encode(), cwd=folder, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_every_file_comes_to_its_place_and_is_found_good(located: SignedArtifacts, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    download = Download(version=version(), generation=1, signed=located)
    run(["curl", "--no-progress-meter", "--parallel", "--config", "-"], curl_config(download, located), folder)
    assert {path.name for path in folder.iterdir()} == set(PATHS)
    said = run(["sha256sum", "--check", "--strict"], check_file(download, located), folder)
    assert said.count(": OK\n") == len(PATHS)
