"""`?format=`: downloads by a shell, curl and coreutils, which are really run."""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.main import create_app
from modelkeep.repositories.version_items import version_to_item
from modelkeep.repositories.versions import Versions
from modelkeep.settings import Settings
from modelkeep.storage.table import Present, Put
from tests.support.api import Api, check_problem, sha256
from tests.support.builders import operation
from tests.support.servers import free_port
from tests.support.stores import serving

FORMATS: Final = ("json", "curl", "sha256sum", "env")
FILES: Final = {
    "-o": b"looks like an option",
    "-": b"looks like standard input",
    "@file": b"looks like a file of arguments",
    "a b/c+d=e@f.json": b"spaces",
    "deep/er/and/deep.er/model.pt": b"x" * 100_000,
    "empty": b"",
    "twice  spaced": b"  ",
    "model.pt": b"weights",
}


@pytest.fixture(scope="module")
async def served(settings: Settings, api: Api) -> AsyncIterator[str]:
    """The service over the same storage where curl reaches it, and its URLs too."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = create_app(settings.model_copy(update={"public_url": url}))
    with serving(app, port):
        yield url


async def get(url: str, **options: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in options.items()}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(url, headers=headers)


class Run:
    """A program run in a folder with nothing around it."""

    def __init__(self, command: Sequence[str], given: str, folder: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
        done = subprocess.run(
            command, input=given.encode(), cwd=folder, env=environment, capture_output=True, timeout=60, check=False
        )
        self.status, self.said, self.complaint = done.returncode, done.stdout.decode(), done.stderr.decode()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_curl_fetches_every_file_to_its_place_and_sha256sum_finds_them_good(
    served: str, api: Api, model: str, tmp_path: Path
) -> None:
    await api.register(model, FILES)
    address = f"{served}/v1/models/{model}/versions/1/download"
    config = await get(f"{address}?format=curl")
    assert config.headers["content-type"] == "text/plain; charset=utf-8"
    done = Run(["curl", "--no-progress-meter", "--parallel", "--config", "-"], config.text, tmp_path)
    assert (done.status, done.complaint) == (0, "")
    assert files_below(tmp_path) == FILES

    sums = await get(f"{address}?format=sha256sum")
    assert sums.headers["content-type"] == "text/plain; charset=utf-8"
    assert sums.text == "".join(f"{sha256(FILES[path])}  ./{path}\n" for path in sorted(FILES))
    checked = Run(["sha256sum", "--check", "--strict"], sums.text, tmp_path)
    assert checked.status == 0, checked.complaint
    assert checked.said.count(": OK\n") == len(FILES)

    (tmp_path / "-o").write_bytes(b"another")
    (tmp_path / "model.pt").unlink()
    checked = Run(["sha256sum", "--check", "--quiet"], sums.text, tmp_path)
    assert checked.status == 1
    assert checked.said == "./-o: FAILED\n./model.pt: FAILED open or read\n"


async def test_curl_fails_if_a_file_is_missing_and_writes_no_error_in_its_place(
    served: str, api: Api, model: str, tmp_path: Path
) -> None:
    await api.register(model)
    config = (await get(f"{served}/v1/models/{model}/versions/1/download?format=curl")).text
    absent = config.replace("model.pt?", "absent.pt?")
    assert absent != config
    done = Run(["curl", "--no-progress-meter", "--parallel", "--retry", "0", "--config", "-"], absent, tmp_path)
    assert done.status != 0
    assert files_below(tmp_path) == {}


FRAMEWORKS: Final = (
    "pytorch",
    "it's",
    'a "quoted" one',
    "two  spaces and 'both' \"kinds\"",
    "$(touch pwned) `touch pwned`",
    "$HOME \\ ; touch pwned & | > pwned",
    "*",
    "-n",
    "~/x#y",
    "größe 模型",
    "two\nlines",
    "one\r\n\ttab",
)


async def test_a_shell_evaluates_the_variables_and_nothing_else(api: Api, model: str, tmp_path: Path) -> None:
    for number, framework in enumerate(FRAMEWORKS, start=1):
        await api.register(model, framework=framework)
        if number == 1:
            await api.promote(model, 1)
        text = (await api.request("GET", f"/models/{model}/versions/{number}/download?format=env")).text
        found = await api.download(model, f"{number}")
        names = ("model", "version", "stage", "commit", "generation", "framework", "s3_path")
        show = "".join(f'printf "%s\\n" "$MODEL_{name.upper().removeprefix("MODEL")}"; ' for name in names[1:])
        script = f'variables=$(cat); eval "$variables"; printf "%s\\n" "$MODEL_NAME"; {show}'
        done = Run(["sh", "-euc", script], text, tmp_path)
        assert (done.status, done.complaint) == (0, "")
        assert done.said == "".join(f"{found[name]}\n" for name in names)
        assert files_below(tmp_path) == {}


async def test_each_format_has_the_same_etag_and_is_not_sent_again(api: Api, model: str) -> None:
    await api.register(model)
    known = f'"{(await api.download(model, "1"))["commit"]}"'
    for name in FORMATS:
        path = f"/models/{model}/versions/1/download?format={name}"
        answer = await api.request("GET", path)
        assert (answer.status_code, answer.headers["etag"], answer.headers["cache-control"]) == (200, known, "no-store")
        again = await api.request("GET", path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", known), name
        assert "content-type" not in again.headers
    asked = await api.request("GET", f"/models/{model}/versions/1/download?format=json")
    assert asked.json() == await api.download(model, "1")


@pytest.mark.parametrize("name", ["", "JSON", "xml", "curl ", "env,json"])
async def test_there_is_no_other_format(api: Api, model: str, name: str) -> None:
    await api.register(model)
    answer = await api.request("GET", f"/models/{model}/versions/1/download", params={"format": name})
    check_problem(answer, 422, "invalid_request")


async def test_what_was_adopted_has_no_digest_before_it_is_verified(api: Api, settings: Settings, model: str) -> None:
    await api.register(model, {"a": b"1", "model.pt": b"weights"})
    async with open_storage(settings) as (table, store):
        version = await Versions(table).find(model, 1)
        assert version
        known, unknown = version.artifacts
        adopted = replace(
            version,
            artifacts=(known, replace(unknown, size=None, sha256=None)),
            s3_path=store.uri(unknown.key),
        )
        await table.transact([Put(version_to_item(adopted), Present())], request_token=operation().id)
    path = f"/models/{model}/versions/1/download"
    refused = check_problem(await api.request("GET", f"{path}?format=sha256sum"), 409, "digest_unknown")
    assert (refused["model"], refused["version"], refused["path"]) == (model, 1, "model.pt")
    for name in ("json", "curl", "env"):
        assert (await api.request("GET", f"{path}?format={name}")).status_code == 200, name
    _, found = (await api.download(model, "1"))["artifacts"]
    assert (found["sha256"], found["size"]) == (None, len(b"weights"))
    etag = f'"{version.commit}"'
    answer = await api.request("GET", f"{path}?format=sha256sum", headers={"if-none-match": etag})
    assert answer.status_code == 304
