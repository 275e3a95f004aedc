"""What a registry on one machine leaves on its disk can be read by its owner alone, whatever the umask."""

import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest import mock

import pytest

from modelkeep.kit.durable_files import staged_file
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.folder import Folder
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import Absent, Put
from tests.support.backends import local_environment
from tests.support.programs import Said, operate
from tests.support.stores import digest_of

CONTENT = b"the bytes of a model"


@pytest.fixture(params=[0o000, 0o022, 0o077], autouse=True)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


async def content() -> AsyncIterator[bytes]:
    yield CONTENT


def modes(root: Path) -> dict[str, str]:
    """The mode of the folder and of everything in it that is not its owner's alone, by kind."""
    wrong = {}
    for path in [root, *root.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        if (mode := stat.S_IMODE(path.stat().st_mode)) != expected:
            wrong[path.relative_to(root).as_posix()] = f"{mode:04o}"
    return wrong


async def test_everything_in_a_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    root = tmp_path / "parent" / "data"
    async with SqliteTable.open(root / "registry.db") as table:
        await table.transact([Put({"model_name": "m", "version": 1}, Absent())], request_token="t")
        store = await FileStore.open(root, public_url="http://registry")
        await store.put("models/m/v1/a/b/c", content(), size=len(CONTENT), sha256=digest_of(CONTENT))
        await store.begin("models/m/v2/x")
        with staged_file(Folder(root).incoming) as arriving:
            arriving.write(CONTENT)
            await store.delete("models/m/v3/x")
            found = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
            wal = {"registry.db", "registry.db-wal", "registry.db-shm"}
            assert found == wal | {"secret", "objects", "checksums", "incoming", "multiparts", "locks"}
            assert modes(root) == {}


def test_what_init_and_migrate_make_is_its_owners_alone(tmp_path: Path) -> None:
    source, copy = tmp_path / "data", tmp_path / "copy"
    assert operate(local_environment(source), "init").status == 0
    assert operate({}, "migrate", "--from", f"local:{source}", "--to", f"local:{copy}").status == 0
    assert (modes(source), modes(copy)) == ({}, {})


@pytest.mark.parametrize("mode", [0o755, 0o2770])
def test_check_and_serve_say_that_others_may_enter_the_folder_and_leave_it(tmp_path: Path, mode: int) -> None:
    data = tmp_path / "data"
    variables = local_environment(data) | {"MODELKEEP_AUTH": "none"}
    assert operate(variables, "init").status == 0
    assert operate(variables, "check") == Said(0, ["clean"], [])
    data.chmod(mode)
    advice = f"Unless that is intended, run `chmod 700 {data}`."
    sentence = f"Other users of this machine may enter the data folder '{data}' (mode {mode:04o}). {advice}"
    assert operate(variables, "check") == Said(0, ["clean"], [sentence])
    with mock.patch("uvicorn.run"):
        said = operate(variables, "serve", "--host", "127.0.0.1")
    (line,) = map(json.loads, said.err)
    assert (said.status, line["event"], line["detail"]) == (0, "data_folder_exposed", sentence)
    assert stat.S_IMODE(data.stat().st_mode) == mode
