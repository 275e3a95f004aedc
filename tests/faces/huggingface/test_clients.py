"""The clients themselves, in environments of their own, over a real socket: asked for tokens, bytes on another port."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.backends import aws_environment, local_environment
from tests.support.hub import FILES
from tests.support.hub_server import HubServer, hub_server, last_json, publisher, python, run_client

MODEL: Final = "bert-tiny"


@pytest.fixture(scope="module", params=["local", "ministack"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    if request.param == "local":
        variables = local_environment(tmp_path_factory.mktemp("data"))
    else:
        variables = aws_environment(request.getfixturevalue("ministack"))
    with hub_server(variables) as server:
        yield server


@pytest.fixture(scope="module")
async def served(server: HubServer) -> HubServer:
    """With a model of two versions, the first of which is production."""
    async with publisher(server) as api:
        await api.register(MODEL, FILES)
        await api.register(MODEL, {"config.json": b"{2}"})
        await api.promote(MODEL, 1)
    server.asked()
    return server


DOWNLOAD = """
import hashlib, json, pathlib, sys
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download(sys.argv[1], revision=sys.argv[2]))
files = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob('*') if each.is_file()}
print(json.dumps({path: hashlib.sha256(content).hexdigest() for path, content in files.items()}))
"""

DIGESTS = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}


@pytest.mark.parametrize(
    "release",
    [
        "huggingface_hub",
        "huggingface_hub==0.36.2",
        pytest.param("huggingface_hub==1.8.0", marks=pytest.mark.thorough),
        pytest.param("huggingface_hub==1.33.0", marks=pytest.mark.thorough),
    ],
)
def test_a_snapshot_is_downloaded(served: HubServer, tmp_path: Path, release: str) -> None:
    command = [*python(release, script=DOWNLOAD), f"registry/{MODEL}", "production"]
    assert last_json(run_client(served, tmp_path, command)) == DIGESTS
