"""What a folder is beside its files' bytes: folders without files, and files that are programs."""

from typing import Any, Final

import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.domain.artifacts import Artifact, commit_of, object_key
from modelkeep.domain.values import Digest
from modelkeep.repositories.keys import version_key
from modelkeep.settings import Settings
from tests.support.api import Api, declare, sha256

FILES: Final = {"model.pt": b"weights", "bin/run": b"#!/bin/sh\n"}
FOLDERS: Final = ["assets", "ensemble/1", "Größe (1)/leer"]


def artifacts(*executable: str, files: dict[str, bytes] = FILES) -> list[dict[str, Any]]:
    return [entry | ({"executable": True} if entry["path"] in executable else {}) for entry in declare(files)]


def manifest(model: str, *executable: str) -> list[Artifact]:
    return [
        Artifact(
            path=path,
            size=len(content),
            sha256=Digest(sha256(content)),
            key=object_key(model, 1, path),
            executable=path in executable,
        )
        for path, content in sorted(FILES.items())
    ]


async def register(api: Api, model: str, **fields: Any) -> Any:
    begun = await api.begin(model, FILES, **fields)
    await api.upload(begun, FILES)
    return await api.complete(model, begun["version"])


async def test_empty_folders_and_executable_files_are_part_of_a_version(api: Api, model: str) -> None:
    version = await register(api, model, artifacts=artifacts("bin/run"), empty_folders=FOLDERS)
    assert version["empty_folders"] == sorted(FOLDERS)
    for answer in (version, await api.download(model, "1"), await api.ask("GET", f"/{model}/versions/1")):
        assert answer["empty_folders"] == sorted(FOLDERS)
        assert {each["path"]: each["executable"] for each in answer["artifacts"]} == {
            "bin/run": True,
            "model.pt": False,
        }
    await api.ask("DELETE", f"/{model}/versions/1", status=204)
    restored = await api.ask("POST", f"/{model}/versions/1/restore")
    assert restored == version | {key: restored[key] for key in ("stage", "stage_changed_at", "stage_changed_by")}


async def test_a_version_without_any_is_what_it_was(api: Api, settings: Settings, model: str) -> None:
    version = await register(
        api, model, empty_folders=[], artifacts=[each | {"executable": False} for each in artifacts()]
    )
    assert version["commit"] == commit_of(model, 1, manifest(model))
    assert version["empty_folders"] == []
    async with open_storage(settings) as (table, _):
        item = await table.get(version_key(model, 1))
    assert item is not None
    assert "empty_folders" not in item["registry"]
    assert not any("executable" in entry for entry in item["registry"]["artifacts"])


@pytest.mark.parametrize(
    ("fields", "programs"),
    [
        ({"empty_folders": ["assets"]}, ()),
        ({"artifacts": artifacts("bin/run")}, ("bin/run",)),
        ({"artifacts": artifacts("bin/run"), "empty_folders": ["logs", "assets"]}, ("bin/run",)),
    ],
    ids=["folders", "programs", "both"],
)
async def test_the_commit_covers_them(api: Api, model: str, fields: dict[str, Any], programs: tuple[str, ...]) -> None:
    folders = fields.get("empty_folders", [])
    version = await register(api, model, **fields)
    assert version["commit"] == commit_of(model, 1, manifest(model, *programs), folders)
    assert version["commit"] != commit_of(model, 1, manifest(model))


@pytest.mark.parametrize(
    "folders",
    [
        ["model.pt"],
        ["model.pt/below"],
        ["bin"],
        ["BIN"],
        ["MODEL.PT"],
        ["a", "a"],
        ["a", "A"],
        ["a", "a/b"],
        ["a/"],
        ["/a"],
        ["a/../b"],
        ["."],
        [""],
        ["a\nb"],
        ["a\\b"],
        [f"{number}" for number in range(1001)],
    ],
    ids=str,
)
async def test_folders_that_cannot_be_there_and_empty_are_refused(api: Api, model: str, folders: list[str]) -> None:
    body = {"artifacts": declare(FILES), "empty_folders": folders}
    answer = await api.request("POST", f"/models/{model}/versions", json=body)
    assert answer.status_code == 422, answer.text
    assert {error["location"].split(".")[1] for error in answer.json()["errors"]} == {"empty_folders"}
    assert "extra inputs" not in answer.text


async def test_a_thousand_folders_are_taken_and_count_for_the_size(api: Api, model: str) -> None:
    short = [f"{number:04}" for number in range(1000)]
    assert (await register(api, model, empty_folders=short))["empty_folders"] == short
    body = {"artifacts": declare(FILES), "empty_folders": [f"{name}/{'x' * 250}/{'y' * 250}" for name in short]}
    answer = await api.request("POST", f"/models/{model}/versions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "metadata_too_large")


async def test_texts_say_what_curl_does_not_make(api: Api, model: str) -> None:
    await register(api, model, artifacts=artifacts("bin/run"), empty_folders=FOLDERS)
    await register(api, model)
    address = f"/models/{model}/versions"
    config = (await api.request("GET", f"{address}/1/download?format=curl")).text
    assert [line for line in config.splitlines() if line.startswith("#")] == [
        "# curl makes no empty folders and no file executable. When it has ended, run:",
        "# mkdir -p './Größe (1)/leer'",
        "# mkdir -p ./assets",
        "# mkdir -p ./ensemble/1",
        "# chmod +x ./bin/run",
    ]
    assert "#" not in (await api.request("GET", f"{address}/2/download?format=curl")).text
    sums = [(await api.request("GET", f"{address}/{number}/download?format=sha256sum")).text for number in (1, 2)]
    assert sums[0] == sums[1]
