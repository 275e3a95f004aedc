"""The clients themselves, in environments of their own, over a real socket: asked for tokens, bytes on another port.

The quick run has one of each kind; the thorough run has the older releases and what is large to install.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support import npm
from tests.support.hub import FILES
from tests.support.hub_server import HubServer, hub_server, last_json, publisher, python, run_client, tool

MODEL: Final = "bert-tiny"
REPOSITORY: Final = f"registry/{MODEL}"
UNPROMOTED: Final = "unpromoted"
PLAIN: Final = "plain-names"
PLAIN_FILES: Final = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "onnx/model.onnx": b"onnx",
    "weights/a \u00e9+.pt": b"all weights",
}
DIGESTS: Final = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}

HUB: Final = "huggingface_hub"
"""The newest release."""

RELEASES: Final = [
    HUB,
    "huggingface_hub==0.36.2",
    pytest.param("huggingface_hub==1.8.0", marks=pytest.mark.thorough),
    pytest.param("huggingface_hub==1.33.0", marks=pytest.mark.thorough),
]
HUB_JS: Final = "@huggingface/hub@2.17.5"

READS_RANGES: Final = pytest.mark.parametrize("variables", ["local"], indirect=True)
"""ministack answers a Range of a presigned URL with the whole object, as S3 would not."""


@pytest.fixture(scope="module")
def running(variables: Mapping[str, str]) -> Iterator[HubServer]:
    with hub_server(variables) as server:
        yield server


@pytest.fixture(scope="module")
async def server(running: HubServer) -> HubServer:
    """With a model of two versions, the first of which is production, and one without a production version."""
    async with publisher(running) as api:
        await api.register(MODEL, FILES, tags={"pipeline_tag": "fill-mask"})
        await api.register(MODEL, {"config.json": b"{2}"})
        await api.promote(MODEL, 1)
        await api.register(UNPROMOTED, {"config.json": b"{}"})
        await api.register(PLAIN, PLAIN_FILES, tags={"pipeline_tag": "fill-mask"})
        await api.promote(PLAIN, 1)
    return running


@pytest.fixture(autouse=True)
def forget(server: HubServer) -> None:
    server.asked()


DOWNLOAD = """
import hashlib, json, pathlib, sys
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download(sys.argv[1], revision=sys.argv[2]))
files = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob('*') if each.is_file()}
print(json.dumps({path: hashlib.sha256(content).hexdigest() for path, content in files.items()}))
"""


@pytest.mark.parametrize("release", RELEASES)
def test_a_snapshot_is_downloaded(server: HubServer, tmp_path: Path, release: str) -> None:
    command = [*python(release, script=DOWNLOAD), REPOSITORY, "production"]
    assert last_json(run_client(server, tmp_path, command)) == DIGESTS


ERRORS = """
import json
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import HfHubHTTPError

def attempt(do, *arguments, **options):
    try:
        return str(do(*arguments, **options))
    except HfHubHTTPError as error:
        return [type(error).__name__.removeprefix("Remote"), error.response.status_code, error.server_message or ""]

MODEL, UNPROMOTED = "registry/bert-tiny", "registry/unpromoted"
api = HfApi()
print(json.dumps({
    "file": attempt(hf_hub_download, MODEL, "absent.json"),
    "revision": attempt(hf_hub_download, MODEL, "config.json", revision="v9"),
    "model": attempt(hf_hub_download, "registry/absent", "config.json"),
    "owner": attempt(hf_hub_download, "meta-llama/bert-tiny", "config.json"),
    "main": attempt(hf_hub_download, UNPROMOTED, "config.json"),
    "token": attempt(api.model_info, MODEL, token="hf_wrong"),
    "dataset": attempt(api.dataset_info, MODEL),
    "upload": attempt(api.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=MODEL),
    "create": attempt(api.create_repo, "registry/new"),
    "exists": [api.file_exists(MODEL, "config.json"), api.file_exists(MODEL, "absent"),
               api.repo_exists("registry/absent"), api.revision_exists(MODEL, "v2"), api.revision_exists(MODEL, "v9")],
}))
"""


@pytest.mark.parametrize("release", RELEASES)
def test_errors_are_raised_as_what_they_are(server: HubServer, tmp_path: Path, release: str) -> None:
    found = last_json(run_client(server, tmp_path, python(release, script=ERRORS)))
    assert found.pop("exists") == [True, False, False, True, False]
    assert {case: tuple(raised[:2]) for case, raised in found.items()} == {
        "file": ("EntryNotFoundError", 404),
        "revision": ("RevisionNotFoundError", 404),
        "model": ("RepositoryNotFoundError", 404),
        "owner": ("RepositoryNotFoundError", 404),
        "main": ("RevisionNotFoundError", 404),
        "token": ("RepositoryNotFoundError", 401),
        "dataset": ("RepositoryNotFoundError", 404),
        "upload": ("HfHubHTTPError", 404),
        "create": ("HfHubHTTPError", 404),
    }
    assert "name one, such as revision='v3'" in found["main"][2]
    assert "modelkeep register" in found["create"][2]
    assert "modelkeep register" in found["upload"][2]


READ = """
import json
from huggingface_hub import HfApi, HfFileSystem

MODEL = "registry/bert-tiny"
api, files = HfApi(), HfFileSystem()
refs = api.list_repo_refs(MODEL)
(listed,) = api.list_models(search="bert-t")
with files.open(f"{MODEL}@v1/weights/a \u00e9+#%&.pt", block_size=64) as file:
    file.seek(5)
    part = file.read(4).decode()
print(json.dumps({
    "files": api.list_repo_files(MODEL, revision="champion" if refs.branches[-1].name == "champion" else "v1"),
    "folders": [each.path for each in api.list_repo_tree(MODEL, "onnx", recursive=True)],
    "paths": [each.path for each in api.get_paths_info(MODEL, ["weights", "config.json", "absent"])],
    "branches": [branch.name for branch in refs.branches],
    "tags": [tag.name for tag in refs.tags],
    "commits": [commit.title for commit in api.list_repo_commits(MODEL, revision="latest")],
    "listed": [listed.id, listed.pipeline_tag],
    "lfs": {each.rfilename: each.lfs.sha256 for each in api.model_info(MODEL, files_metadata=True).siblings},
    "who": api.whoami()["name"],
    "file system": [sorted(files.ls(MODEL, detail=False)), files.exists(f"{MODEL}@v9/config.json"),
                    files.cat(f"hf://{MODEL}/config.json").decode(), part],
}))
"""


@READS_RANGES
@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_read(server: HubServer, tmp_path: Path, release: str) -> None:
    assert last_json(run_client(server, tmp_path, python(release, script=READ))) == {
        "files": list(FILES),
        "folders": ["onnx/deep", "onnx/deep/model.onnx"],
        "paths": ["config.json", "weights"],
        "branches": ["main", "production", "staging"],
        "tags": ["v2", "v1"],
        "commits": ["v2", "v1"],
        "listed": [REPOSITORY, "fill-mask"],
        "lfs": DIGESTS,
        "who": "serving",
        "file system": [
            [f"{REPOSITORY}/{name}" for name in ("config.json", "empty.txt", "onnx", "weights")],
            False,
            FILES["config.json"].decode(),
            FILES["weights/a \u00e9+#%&.pt"][5:9].decode(),
        ],
    }


def test_hf_download_asks_as_often_as_it_must(server: HubServer, tmp_path: Path) -> None:
    command = tool("hf", "download", REPOSITORY, "--revision", "production", requirements=(HUB,))
    cold = run_client(server, tmp_path, command)
    asked = sorted(request.split(" /hf/")[0] + " " + _kind(request) for request in server.asked())
    assert asked == sorted(
        ["GET agent-harnesses", "GET revision", "GET tree", *["HEAD resolve"] * len(FILES), *["GET resolve"] * 3]
    )
    assert run_client(server, tmp_path, command) == cold
    warm = sorted(_kind(request) for request in server.asked())
    assert warm in (["revision"], ["agent-harnesses", "revision"])
    verified = run_client(
        server, tmp_path, tool("hf", "cache", "verify", REPOSITORY, "--revision", "production", requirements=(HUB,))
    )
    assert f"{len(FILES)}" in verified


def _kind(request: str) -> str:
    (found,) = [word for word in ("agent-harnesses", "revision", "tree", "resolve") if f"/{word}" in request]
    return found


JAVASCRIPT = """
import * as hub from "@huggingface/hub";
import {readFileSync} from "node:fs";
const name = "registry/plain-names", hubUrl = process.env.HF_ENDPOINT, accessToken = "hf_" + process.env.HF_TOKEN;
const options = {repo: name, hubUrl, accessToken, revision: "production"};
const gather = async (iterable, shape) => {
  const all = [];
  for await (const each of iterable) all.push(shape(each));
  return all;
};
const folder = await hub.snapshotDownload({...options, cacheDir: process.cwd() + "/js"});
const part = await hub.downloadFile({...options, path: "weights/a \u00e9+.pt"});
console.log(JSON.stringify({
  files: await gather(hub.listFiles({...options, recursive: true}), file => file.path),
  config: await (await hub.downloadFile({...options, path: "config.json"})).text(),
  part: await part.slice(5, 9).text(),
  exists: [await hub.fileExists({...options, path: "config.json"}), await hub.fileExists({...options, path: "absent"})],
  absent: await hub.downloadFile({...options, path: "absent"}),
  commits: await gather(hub.listCommits({...options, revision: "latest"}), commit => commit.title),
  task: (await hub.modelInfo({name, hubUrl, accessToken})).task,
  listed: await gather(hub.listModels({hubUrl, accessToken, search: {query: "plain"}}), model => model.name),
  snapshot: [readFileSync(folder + "/config.json", "utf8"), readFileSync(folder + "/empty.txt", "utf8")],
  wrong: await hub.modelInfo({name, hubUrl, accessToken: "hf_wrong"}).catch(error => error.statusCode),
}));
"""


@READS_RANGES
def test_javascript_reads_what_python_reads(server: HubServer, tmp_path: Path) -> None:
    """It does not escape `#` in a path, and so cannot ask for such a file."""
    found = last_json(run_client(server, tmp_path, npm.script(npm.installed(HUB_JS), JAVASCRIPT)))
    config = PLAIN_FILES["config.json"].decode()
    assert found == {
        "files": ["config.json", "empty.txt", "onnx", "onnx/model.onnx", "weights", "weights/a \u00e9+.pt"],
        "config": config,
        "part": "eigh",
        "exists": [True, False],
        "absent": None,
        "commits": ["v1"],
        "task": "fill-mask",
        "listed": ["registry/plain-names"],
        "snapshot": [config, ""],
        "wrong": 401,
    }
