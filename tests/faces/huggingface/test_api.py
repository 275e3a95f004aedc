"""What the Hub's API answers of models, files, refs and commits, and what clients require of it."""

import hashlib
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api, when
from tests.support.hub import FILES, Book, Hub

FOLDERS = ["onnx", "onnx/deep", "weights"]


def milliseconds(text: str) -> str:
    return f"{when(text):%Y-%m-%dT%H:%M:%S}.{when(text).microsecond // 1000:03d}Z"


@pytest.mark.parametrize("place", ["", "/revision/main", "/revision/production", "/revision/v2"])
async def test_a_model_is_described(hub: Hub, book: Book, place: str) -> None:
    info = await hub.read(f"/api/models/{book.repository}{place}")
    version = book.versions[2]
    assert info == {
        "_id": book.commit(2),
        "id": book.repository,
        "modelId": book.repository,
        "author": "registry",
        "sha": book.commit(2),
        "createdAt": milliseconds(version["created_at"]),
        "lastModified": milliseconds(version["created_at"]),
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": ["pytorch", "library_name:transformers", "pipeline_tag:text-classification"],
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "siblings": [{"rfilename": path} for path in FILES],
        "registry": {"version": 2, "stage": "production", "aliases": ["champion"], "framework": "pytorch"},
    }


async def test_the_id_is_what_was_asked_for(hub: Hub, book: Book) -> None:
    for repository, author in ((book.model, None), (f"sentence-transformers/{book.model}", "sentence-transformers")):
        info = await hub.read(f"/api/models/{repository}")
        assert (info["id"], info["modelId"], info.get("author")) == (repository, repository, author)


async def test_edited_tags_are_shown_at_once(hub: Hub, api: Api, book: Book) -> None:
    """A version's files are remembered, and not what may change of it."""
    path = f"/api/models/{book.repository}/revision/v3"
    assert "pipeline_tag" not in await hub.read(path)
    await api.ask("PATCH", f"/{book.model}/versions/3", {"tags": {"pipeline_tag": "fill-mask"}})
    assert (await hub.read(path))["pipeline_tag"] == "fill-mask"
    await api.ask("PATCH", f"/{book.model}/versions/3", {"tags": {"pipeline_tag": None}})


@pytest.mark.parametrize("blobs", ["true", "True", "1"])
async def test_blobs_have_sizes_and_digests(hub: Hub, book: Book, blobs: str) -> None:
    info = await hub.read(f"/api/models/{book.repository}?blobs={blobs}&securityStatus=true&expand=sha&expand=tags")
    for sibling in info["siblings"]:
        content = FILES[sibling["rfilename"]]
        pointer = _pointer(content)
        assert sibling["size"] == sibling["lfs"]["size"] == len(content)
        assert sibling["lfs"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert sibling["lfs"]["pointerSize"] == len(pointer)
        assert sibling["blobId"] == _blob(pointer)


def _pointer(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


def paths(tree: Any) -> list[tuple[str, str]]:
    return [(entry["type"], entry["path"]) for entry in tree]


async def test_a_tree_lists_files_and_folders(hub: Hub, book: Book) -> None:
    path = f"/api/models/{book.repository}/tree/{book.commit(2)}"
    everything = [*(("file", each) for each in FILES), *(("directory", each) for each in FOLDERS)]
    whole = await hub.read(f"{path}?recursive=True&expand=False")
    assert paths(whole) == sorted(everything, key=lambda entry: entry[1])
    assert paths(await hub.read(path)) == [entry for entry in paths(whole) if "/" not in entry[1]]
    assert paths(await hub.read(f"{path}/")) == paths(await hub.read(path))
    for entry in whole:
        assert len(entry["oid"]) == 40
        if entry["type"] == "file":
            content = FILES[entry["path"]]
            assert entry["size"] == entry["lfs"]["size"] == len(content)
            assert entry["lfs"]["oid"] == hashlib.sha256(content).hexdigest()
            assert (entry["oid"], entry["lfs"]["pointerSize"]) == (_blob(_pointer(content)), len(_pointer(content)))
        else:
            assert (entry["size"], set(entry)) == (0, {"type", "path", "oid", "size"})


async def test_a_folder_is_listed_however_its_slashes_are_sent(hub: Hub, book: Book) -> None:
    path = f"/api/models/{book.repository}/tree/main"
    assert paths(await hub.read(f"{path}/onnx")) == [("directory", "onnx/deep")]
    for folder in ("onnx%2Fdeep", "onnx%2fdeep", "onnx/deep", "onnx/deep/"):
        assert paths(await hub.read(f"{path}/{folder}")) == [("file", "onnx/deep/model.onnx")]
    within = await hub.read(f"{path}/onnx?recursive=true")
    assert paths(within) == [("directory", "onnx/deep"), ("file", "onnx/deep/model.onnx")]


@pytest.mark.parametrize("expand", ["true", "True"])
async def test_an_expanded_tree_names_the_version(hub: Hub, book: Book, expand: str) -> None:
    for entry in await hub.read(f"/api/models/{book.repository}/tree/main?expand={expand}&recursive=true"):
        date = milliseconds(book.versions[2]["created_at"])
        assert entry["lastCommit"] == {"id": book.commit(2), "title": "v2: Retrained", "date": date}


async def test_empty_folders_are_folders(hub: Hub, api: Api) -> None:
    files = {"model.pt": b"weights"}
    begun = await api.begin("with-empty-folders", files, empty_folders=["logs/old"])
    await api.upload(begun, files)
    await api.complete("with-empty-folders", 1)
    tree = await hub.read("/api/models/registry/with-empty-folders/tree/latest?recursive=true")
    assert paths(tree) == [("directory", "logs"), ("directory", "logs/old"), ("file", "model.pt")]
    assert await hub.read("/api/models/registry/with-empty-folders/tree/latest/logs%2Fold") == []


@pytest.mark.parametrize("form", ["form", "json", "json of one"])
async def test_paths_are_described_and_unknown_ones_left_out(hub: Hub, book: Book, form: str) -> None:
    path = f"/api/models/{book.repository}/paths-info/main"
    wanted = ["weights", "weights/a \u00e9+#%&.pt", "nowhere", "config.json"]
    if form == "json of one":
        answer = await hub.ask("POST", path, json={"paths": "config.json"})
        assert paths(answer.json()) == [("file", "config.json")]
        return
    body = {"paths": wanted, "expand": form == "json"}
    sent: dict[str, Any] = {"json": body} if form == "json" else {"data": body}
    answer = await hub.ask("POST", path, **sent)
    assert paths(answer.json()) == [
        ("file", "config.json"),
        ("directory", "weights"),
        ("file", "weights/a \u00e9+#%&.pt"),
    ]
    assert all(("lastCommit" in entry) == (form == "json") for entry in answer.json())


async def test_refs_are_branches_and_tags(hub: Hub, book: Book) -> None:
    refs = await hub.read(f"/api/models/{book.repository}/refs")
    named = {"main": 2, "production": 2, "staging": 3, "champion": 2, "old": 1}
    assert refs == {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": book.commit(number)}
            for name, number in named.items()
        ],
        "tags": [
            {"name": f"v{number}", "ref": f"refs/tags/v{number}", "targetCommit": book.commit(number)}
            for number in (3, 2, 1)
        ],
        "converts": [],
    }


async def test_without_production_there_is_no_branch(hub: Hub, unpromoted: str) -> None:
    """Clients that find no `main` take whatever branch is listed first."""
    refs = await hub.read(f"/api/models/registry/{unpromoted}/refs")
    assert refs["branches"] == []
    assert [tag["name"] for tag in refs["tags"]] == ["v1"]


async def test_versions_are_commits_up_to_a_revision(hub: Hub, book: Book) -> None:
    commits = await hub.read(f"/api/models/{book.repository}/commits/production")
    assert [each["id"] for each in commits] == [book.commit(2), book.commit(1)]
    version = book.versions[2]
    assert commits[0] == {
        "id": book.commit(2),
        "title": "v2: Retrained",
        "message": "Retrained\non new data",
        "date": milliseconds(version["created_at"]),
        "authors": [{"user": version["created_by"]}],
    }
    newest = await hub.read(f"/api/models/{book.repository}/commits/latest")
    assert [each["title"] for each in newest] == ["v3", "v2: Retrained", "v1"]


async def test_models_with_a_production_version_are_listed(hub: Hub, book: Book, unpromoted: str) -> None:
    async def listed(query: str) -> list[str]:
        return [each["id"] for each in await hub.read(f"/api/models?{query}")]

    assert book.repository in await listed("")
    assert f"registry/{unpromoted}" not in await listed("")
    assert await listed(f"search={book.model[2:].upper()}") == [book.repository]
    assert await listed(f"search={book.model}&author=registry") == [book.repository]
    other = f"sentence-transformers/{book.model}"
    assert await listed(f"search={book.model}&author=sentence-transformers") == [other]
    assert await listed(f"search={book.model}&author=meta-llama") == []
    assert await listed("search=nothing-like-it") == []
    (entry,) = await hub.read(f"/api/models?search={book.model}&full=true&sort=downloads&direction=-1&expand=sha")
    whole = await hub.read(f"/api/models/{book.repository}")
    assert entry == {name: value for name, value in whole.items() if name != "siblings"}


async def test_a_list_of_models_goes_on_by_its_link(hub: Hub, api: Api) -> None:
    names = [f"paged-{number}" for number in range(3)]
    for name in names:
        await api.register(name)
        await api.promote(name, 1)
    found, address = [], f"{hub.http.base_url}/hf/api/models?search=paged-&limit=2"
    pages = 0
    while address:
        answer = await hub.http.get(address)
        found += [each["id"] for each in answer.json()]
        address = answer.links.get("next", {}).get("url", "")
        pages += 1
    assert (found, pages) == ([f"registry/{name}" for name in names], 2)


async def test_a_reader_may_be_asked_for(hub: Hub, book: Book) -> None:
    assert await hub.read(f"/api/models/{book.repository}/auth-check") == {}
    assert await hub.read("/api/whoami-v2") == {
        "type": "user",
        "id": "anonymous",
        "name": "anonymous",
        "fullname": "anonymous",
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "anonymous", "role": "read"}},
    }


async def test_a_model_is_named_like_an_operation(hub: Hub, api: Api) -> None:
    """Without an owner it is found everywhere; with one, the second segment is taken for the operation."""
    for name in ("tree", "resolve"):
        await api.register(name)
        await api.promote(name, 1)
        assert (await hub.read(f"/api/models/{name}/revision/main"))["id"] == name
        assert paths(await hub.read(f"/api/models/{name}/tree/main")) == [("file", "model.pt")]
        await hub.ask("HEAD", f"/{name}/resolve/main/model.pt")
    await hub.refused("HEAD", "/registry/resolve/resolve/main/model.pt", 404, "RepoNotFound")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_nothing_leads_a_client_to_xet(hub: Hub, book: Book, method: str) -> None:
    path = quote("weights/a \u00e9+#%&.pt")
    answer = await hub.request(method, f"/{book.repository}/resolve/main/{path}")
    assert [name for name in answer.headers if name.startswith("x-xet") or name == "link"] == []
