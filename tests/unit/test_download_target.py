"""How a download appears, one step at a time."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelkeep.client.disk_layout import MARKER_FILE
from modelkeep.client.download_target import DownloadTarget
from modelkeep.domain.values import Stage
from modelkeep.kit import durable_files
from modelkeep.kit.digests import sha256_of_file
from modelkeep.schemas.downloads import DownloadArtifactResponse, DownloadResponse


def version_of(files: Mapping[str, bytes], folder: Path, *, number: int = 1) -> DownloadResponse:
    artifacts = []
    for path, content in files.items():
        (folder / "content").write_bytes(content)
        artifacts.append(
            DownloadArtifactResponse(
                path=path,
                size=len(content),
                sha256=sha256_of_file(folder / "content"),
                method="GET",
                url="http://storage",
                headers={},
                expires_at=datetime.now(UTC),
            )
        )
    return DownloadResponse(
        model="fraud",
        version=number,
        stage=Stage.STAGING,
        commit=f"{number:040x}",
        generation=1,
        framework="pytorch",
        s3_path="s3://bucket/fraud",
        artifacts=artifacts,
    )


def download(dest: Path, files: Mapping[str, bytes], *, number: int = 1) -> DownloadTarget:
    dest.mkdir(exist_ok=True)
    version = version_of(files, dest.parent, number=number)
    target = DownloadTarget(dest, version, version.artifacts)
    target.check()
    target.partial.mkdir(exist_ok=True)
    arrived = {}
    for index, (path, content) in enumerate(files.items()):
        arrived[path] = target.partial / f"{index}"
        arrived[path].write_bytes(content)
    target.publish(arrived, {})
    return target


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "serving"


@pytest.fixture(params=[True, False], ids=["exchange", "no exchange"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(durable_files, "exchange", lambda *_: False)


@pytest.mark.usefixtures("_either_way")
def test_a_folder_replaces_an_earlier_one(dest: Path) -> None:
    download(dest, {"a": b"1", "b/c": b"1"})
    target = download(dest, {"a": b"2", "d": b"2"}, number=2)
    marker = json.loads((dest / "fraud" / MARKER_FILE).read_text())
    assert set(marker.pop("marks")) == {"a", "d"}
    assert marker == {"model": "fraud", "version": 2, "commit": f"{2:040x}"}
    (dest / "fraud" / MARKER_FILE).unlink()
    assert contents(dest) == {"fraud/a": b"2", "fraud/d": b"2"}
    assert target.is_up_to_date()


@pytest.mark.usefixtures("_either_way")
def test_leftovers_of_an_interrupted_download_are_no_obstacle(dest: Path) -> None:
    download(dest, {"a": b"1", "b": b"1"})
    for left in ("tree", "replaced"):
        (dest / ".fraud.partial" / left / "x").mkdir(parents=True)
        (dest / ".fraud.partial" / left / "old").write_bytes(b"old")
    download(dest, {"a": b"2", "b": b"2"}, number=2)
    assert set(contents(dest)) == {"fraud/a", "fraud/b", f"fraud/{MARKER_FILE}"}
    assert [entry.name for entry in dest.iterdir()] == ["fraud"]


def test_files_stay_until_all_of_them_are_in_place(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(durable_files, "replace_tree", die)
    with pytest.raises(KeyboardInterrupt):
        download(dest, {"a": b"1", "b": b"2"})
    assert [(dest / ".fraud.partial" / name).read_bytes() for name in ("0", "1")] == [b"1", b"2"]


def test_files_are_moved_where_there_are_no_links(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert download(dest, {"a": b"1", "b": b"2"}).is_up_to_date()


def test_an_empty_folder_may_be_replaced(dest: Path) -> None:
    (dest / "fraud").mkdir(parents=True)
    assert download(dest, {"a": b"1", "b": b"2"}).is_up_to_date()


@pytest.mark.parametrize("files", [{"model.pt": b"1"}, {"a/model.pt": b"1"}, {"a": b"1", "b": b"2"}])
def test_a_target_is_up_to_date_with_exactly_the_files_of_the_version(dest: Path, files: dict[str, bytes]) -> None:
    target = download(dest, files)
    assert target.path == (dest / "model.pt" if "model.pt" in files else dest / "fraud")
    assert target.is_up_to_date()
    changed = version_of(dict.fromkeys(files, b"9"), dest.parent)
    assert not DownloadTarget(dest, changed, changed.artifacts).is_up_to_date()
    more = version_of({**files, "more": b"3"}, dest.parent)
    assert not DownloadTarget(dest, more, more.artifacts).is_up_to_date()
    if target.path.is_dir():
        (target.path / "extra").touch()
        assert not target.is_up_to_date()


def test_a_file_named_like_the_marker_is_one_of_the_version(dest: Path) -> None:
    target = download(dest, {MARKER_FILE: b'{"model": "fraud"}', "a": b"1"})
    assert target.is_up_to_date()
    (target.path / MARKER_FILE).write_text("{}")
    assert not target.is_up_to_date()


def test_a_download_is_begun_while_anything_of_it_is_there(dest: Path) -> None:
    target = download(dest, {"a": b"1", "b": b"2"})
    assert not target.is_begun()
    target.lock.touch()
    assert target.is_begun()
    target.lock.unlink()
    target.partial.mkdir()
    assert target.is_begun()
