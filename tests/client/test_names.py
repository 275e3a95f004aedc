"""Every name that real tools write, through every place that a path reaches: over real sockets, on both backends."""

import hashlib
import os
import subprocess
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import httpx
import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.errors import LocalFileError
from tests.support.artifact_names import NAMES, OF_SHELLS
from tests.support.pages import manual
from tests.support.processes.cli import Cli
from tests.support.programs import Server, clean_environment

CONTENTS: Final = {name: f"the bytes of {name}".encode() for name in NAMES}


@dataclass(frozen=True)
class Registered:
    """A version that has a file of each name, and the server that has it."""

    server: Server
    model: str

    @property
    def address(self) -> str:
        return f"{self.server.url}/v1/models/{self.model}/versions/1"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", trust_env=False).raise_for_status()


@pytest.fixture(scope="module", params=["dev", "aws"])
def registered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    server: Server = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("names")
    write(folder, CONTENTS)
    model = f"names-{uuid4().hex[:8]}"
    with RegistryClient(server.url) as client:
        version = client.register(model, folder)
    assert [artifact.path for artifact in version.artifacts] == sorted(NAMES)
    return Registered(server, model)


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def asked_of_storage(url: str) -> str:
    """What S3 is asked to send, and sends, as `Content-Disposition`; ministack does not."""
    return parse_qs(urlsplit(url).query)["response-content-disposition"][0]


def run(command: list[str], given: str, folder: Path) -> str:
    """Run a program in a folder, in a locale that knows no name; what it printed."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
    done = subprocess.run(
        command, input=given.encode(), cwd=folder, env=variables, capture_output=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_a_download_has_the_same_names_and_is_found_up_to_date(registered: Registered, tmp_path: Path) -> None:
    with RegistryClient(registered.server.url) as client:
        found = client.download(registered.model, 1, dest=tmp_path)
        assert files_below(found.path) == CONTENTS | {".modelkeep.json": (found.path / ".modelkeep.json").read_bytes()}
        assert not client.download(registered.model, 1, dest=tmp_path, if_changed=True).changed


def test_curl_fetches_every_name_and_sha256sum_finds_it_good(registered: Registered, tmp_path: Path) -> None:
    config = registered.get("/download?format=curl").text
    run(["curl", "--no-progress-meter", "--parallel", "--config", "-"], config, tmp_path)
    assert files_below(tmp_path) == CONTENTS
    said = run(["sha256sum", "--check", "--strict"], registered.get("/download?format=sha256sum").text, tmp_path)
    assert said.count(": OK\n") == len(NAMES)


def test_curl_follows_the_address_of_every_name(registered: Registered, tmp_path: Path) -> None:
    def every_byte(name: str) -> str:
        return "/".join("".join(f"%{byte:02X}" for byte in segment.encode()) for segment in name.split("/"))

    spelled = {quote(name): name for name in NAMES} | {every_byte(name): name for name in NAMES if "." not in name[:2]}
    config = "location\nfail\n" + "".join(
        f'url = "{registered.address}/artifacts/{path}"\noutput = "{number}"\n' for number, path in enumerate(spelled)
    )
    run(["curl", "--no-progress-meter", "--config", "-"], config, tmp_path)
    assert [(tmp_path / f"{number}").read_bytes() for number in range(len(spelled))] == [
        CONTENTS[name] for name in spelled.values()
    ]


def test_a_browser_saves_every_name_as_it_is(registered: Registered) -> None:
    for artifact in registered.get("/download").json()["artifacts"]:
        assert artifact["url"].isascii()
        answer = httpx.get(artifact["url"], headers=artifact["headers"], trust_env=False)
        assert answer.content == CONTENTS[artifact["path"]]
        message = Message()
        message["content-disposition"] = answer.headers.get("content-disposition") or asked_of_storage(artifact["url"])
        assert message.get_content_disposition() == "attachment"
        assert message.get_filename() == artifact["path"].rpartition("/")[2]


def script(registered: Registered, model: str, *calls: str) -> str:
    """The functions of the manual's script, and calls of them."""
    blocks = [block for block in manual("http-api").blocks("sh") if "() {" in block]
    functions = [each for block in blocks for each in block.split("\n\n") if "() {" in each]
    return "\n".join([f"REGISTRY={registered.server.url} MODEL={model}", *functions, *calls])


def run_script(text: str, folder: Path, *arguments: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", text, "script", *arguments]
    done = subprocess.run(command, cwd=folder, env=clean_environment({}), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout.decode()


def test_the_script_of_the_manual_fetches_every_name(registered: Registered, tmp_path: Path) -> None:
    run_script(script(registered, registered.model, "fetch 1 fetched"), tmp_path)
    (tmp_path / "fetched/download.json").unlink()
    assert files_below(tmp_path / "fetched") == CONTENTS


def test_the_script_of_the_manual_registers_names_that_mean_something_to_a_shell(
    registered: Registered, tmp_path: Path
) -> None:
    model = f"{registered.model}-script"
    write(tmp_path, {name: CONTENTS[name] for name in OF_SHELLS})
    text = script(registered, model, 'register key-1 "$@"')
    assert run_script(text, tmp_path, *OF_SHELLS) == "1\n"
    with RegistryClient(registered.server.url) as client:
        assert [artifact.path for artifact in client.get_version(model, 1).artifacts] == sorted(OF_SHELLS)


def test_the_table_of_files_has_every_name_as_it_is(registered: Registered) -> None:
    shown = Cli(registered.server.url).does("show", registered.model, 1)
    start = next(number for number, line in enumerate(shown) if line.startswith("file "))
    assert [line.rsplit(maxsplit=3)[0].rstrip(" ") for line in shown[start + 1 :]] == sorted(NAMES)


def test_the_commit_is_that_of_the_canonical_manifest(registered: Registered) -> None:
    lines = [f"{name} {len(content)} {hashlib.sha256(content).hexdigest()}" for name, content in CONTENTS.items()]
    manifest = "\n".join([registered.model, "1", *sorted(lines, key=lambda line: line.rsplit(" ", 2)[0])])
    assert registered.get("").json()["commit"] == f"{hashlib.sha256(manifest.encode()).hexdigest()[:32]}00000001"


def test_the_key_of_an_object_is_the_bytes_of_its_path(registered: Registered) -> None:
    urls = {each["path"]: each["url"] for each in registered.get("/download").json()["artifacts"]}
    for name, url in urls.items():
        assert urlsplit(url).path.endswith(f"/models/{registered.model}/v1/{quote(name)}")


def test_names_of_a_decomposing_disk_are_registered_composed(url: str, model: str, tmp_path: Path) -> None:
    names = ["modèle/größe.bin", "한국어.pt", "Å.npy"]
    write(tmp_path / "run", {unicodedata.normalize("NFD", name): name.encode() for name in names})
    assert unicodedata.normalize("NFD", names[1]) in {path.name for path in (tmp_path / "run").iterdir()}
    with RegistryClient(url) as client:
        version = client.register(model, tmp_path / "run")
        assert [artifact.path for artifact in version.artifacts] == sorted(names)
        found = client.download(model, 1, dest=tmp_path / "serving").path
        assert {name: (found / name).read_bytes() for name in names} == {name: name.encode() for name in names}


@pytest.mark.parametrize(
    "names",
    [["Größe.bin", "GRÖSSE.bin"], ["caf\u00e9", "cafe\u0301"], ["CAF\u00c9", "cafe\u0301"], ["a/B", "A/b"]],
    ids=ascii,
)
@pytest.mark.parametrize("as_zip", [False, True])
def test_names_that_some_disk_takes_for_one_are_refused_as_they_are_written(
    client: RegistryClient, model: str, tmp_path: Path, names: list[str], as_zip: bool
) -> None:
    write(tmp_path / "run", dict.fromkeys(names, b""))
    with pytest.raises(LocalFileError, match="cannot both be in a version") as refused:
        client.register(model, tmp_path / "run", as_zip=as_zip)
    assert all(f"'{name}'" in str(refused.value) for name in names)
