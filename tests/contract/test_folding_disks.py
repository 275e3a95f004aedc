"""The local store on a disk that does not tell `A` from `a`: no two models share a file, old folders included."""

import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.values import MODEL_NAME_PATTERN, is_model_name
from modelkeep.storage.local import object_paths
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.folder import Folder
from tests.support.stores import as_earlier_releases_did, digest_of, read_all

BIG, SMALL = object_key("A", 1, "Model.pt"), object_key("a", 1, "Model.pt")
KEYS = [object_key(model, 1, path) for model in ("Fraud", "FRAUD", "fraud", "f") for path in ("x", "Sub/Y")]


async def put(store: FileStore, key: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield key.encode()

    await store.put(key, content(), size=len(key), sha256=digest_of(key.encode()))


async def opened(root: Path) -> FileStore:
    return await FileStore.open(root, public_url="http://registry")


async def stored(store: FileStore) -> dict[str, bytes]:
    return {found.key: await read_all(store, found.key) async for found in store.list_objects("models/")}


names = st.from_regex(MODEL_NAME_PATTERN.replace("$", r"\Z"), fullmatch=True).filter(is_model_name)


@given(names, names)
def test_two_models_have_two_folders_on_every_disk(one: str, other: str) -> None:
    paths = [object_paths.path_of(object_key(model, 1, "x")) for model in (one, other)]
    folded = {unicodedata.normalize(form, path).casefold() for path in paths for form in ("NFC", "NFD")}
    assert len(folded) == len({one, other})


@given(names)
def test_models_that_differ_by_case_alone_have_two_folders(one: str) -> None:
    others = {one, one.lower(), one.upper(), one.swapcase()}
    assert len({object_paths.path_of(f"models/{name}/v1/x").casefold() for name in others}) == len(others)


@given(st.lists(st.text("aAzZ!é-./ "), min_size=1).map("/".join))
def test_a_path_has_one_key(rest: str) -> None:
    for key in (rest, f"models/{rest}"):
        assert object_paths.key_at(object_paths.path_of(key)) == key


async def test_two_models_share_no_file_where_one_name_leads_to_the_other(tmp_path: Path) -> None:
    """A link under the other spelling does what a disk that folds case does."""
    store = await opened(tmp_path)
    await put(store, SMALL)
    for kind in ("objects", "checksums"):
        (tmp_path / kind / "models" / "A").symlink_to("a")
    assert await store.stat(BIG) is None
    await put(store, BIG)
    assert await stored(store) == {BIG: BIG.encode(), SMALL: SMALL.encode()}
    await store.delete(BIG)
    assert await stored(store) == {SMALL: SMALL.encode()}


async def test_an_address_has_one_key_whichever_release_wrote_it(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    for key in KEYS:
        assert store.key_of(store.uri(key)) == key
        assert store.key_of(f"{(tmp_path / 'objects' / key).as_uri()}") == key


async def test_a_folder_of_an_earlier_release_is_taken_over(tmp_path: Path) -> None:
    before = await opened(tmp_path)
    for key in KEYS:
        await put(before, key)
    as_earlier_releases_did(tmp_path)
    assert (tmp_path / "objects/models/Fraud/v1/Sub/Y").exists()
    after = await opened(tmp_path)
    assert await stored(after) == {key: key.encode() for key in KEYS}
    for key in KEYS:
        found = await after.stat(key)
        assert found is not None
        assert found.sha256 == digest_of(key.encode())
    assert {path.name for path in (tmp_path / "objects/models").iterdir()} == {
        "!fraud",
        "!f!r!a!u!d",
        "fraud",
        "f",
    }


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("steps", range(4))
async def test_a_move_that_was_killed_goes_on_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    before = await opened(tmp_path)
    for key in KEYS:
        await put(before, key)
    as_earlier_releases_did(tmp_path)
    rename, renamed = Path.rename, 0

    def rename_until_killed(path: Path, target: Path) -> Path:
        nonlocal renamed
        if renamed == steps:
            raise Killed
        renamed += 1
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename_until_killed)
        with pytest.raises(Killed):
            Folder(tmp_path)
    after = await opened(tmp_path)
    assert await stored(after) == {key: key.encode() for key in KEYS}
    assert [found.sha256 async for found in after.list_objects("models/") if found.sha256 is None] == []


async def test_what_an_earlier_release_adds_beside_a_moved_folder_is_joined_with_it(tmp_path: Path) -> None:
    """After a way back to the earlier release, for a while."""
    store = await opened(tmp_path)
    await put(store, object_key("Fraud", 2, "x"))
    as_earlier_releases_did(tmp_path)
    await put(store, object_key("Fraud", 1, "x"))
    after = await opened(tmp_path)
    assert set(await stored(after)) == {object_key("Fraud", number, "x") for number in (1, 2)}
    assert not (tmp_path / "objects/models/Fraud").exists()


async def test_a_move_replaces_nothing(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    key = object_key("Fraud", 1, "x")
    await put(store, key)
    other = tmp_path / "objects" / key
    other.parent.mkdir(parents=True)
    other.write_bytes(b"other bytes")
    after = await opened(tmp_path)
    assert await stored(after) == {key: key.encode()}
    assert other.read_bytes() == b"other bytes"
