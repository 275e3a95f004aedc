"""Links in a folder that is registered: which are followed, and what is said of the others."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import Progress, RegistryClient, Step
from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.domain.errors import ModelNotFoundError, NotFoundError
from tests.support.observed import Observed
from tests.support.processes.cli import Cli

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder with a file, a folder, and nothing else yet; a secret lies beside it."""
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "epoch=3.ckpt").write_bytes(b"third epoch")
    (folder / "weights" / "a.bin").write_bytes(b"weights")
    (tmp_path / "secret").write_bytes(b"a secret")
    return folder


def snapshot_of_cache(hub: Path, name: str = "models--acme--bert") -> Path:
    """A snapshot as `huggingface_hub` lays it out: nothing but relative links into `../../blobs`."""
    blobs, snapshot = hub / name / "blobs", hub / name / "snapshots" / REVISION
    blobs.mkdir(parents=True)
    for path, blob in {"config.json": "aa11", "onnx/model.onnx": "bb22", "model.safetensors": "cc33"}.items():
        (blobs / blob).write_bytes(f"blob {blob}".encode())
        link = snapshot / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / blob, link.parent))
    return snapshot


def registered(client: RegistryClient, model: str, folder: Path, dest: Path, **options: object) -> dict[str, bytes]:
    """Register, and download: the files by name."""
    version = client.register(model, folder, **options)  # type: ignore[arg-type]
    found = client.download(model, version.version, dest=dest).path
    if found.suffix == ".zip":
        with zipfile.ZipFile(found) as bundle:
            return {name: bundle.read(name) for name in bundle.namelist()}
    if found.is_file():
        return {found.name: found.read_bytes()}
    files = {path.relative_to(found).as_posix(): path for path in found.rglob("*") if path.is_file()}
    assert not any(path.is_symlink() for path in files.values())
    return {name: path.read_bytes() for name, path in files.items() if name != ".modelkeep.json"}


def test_a_snapshot_of_the_hugging_face_cache_is_registered_by_its_names(url: str, model: str, tmp_path: Path) -> None:
    snapshot = snapshot_of_cache(tmp_path / "hub")
    with RegistryClient(url) as client:
        assert registered(client, model, snapshot, tmp_path / "serving") == {
            "config.json": b"blob aa11",
            "onnx/model.onnx": b"blob bb22",
            "model.safetensors": b"blob cc33",
        }


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("below", ["", "onnx"])
def test_a_part_of_a_snapshot_is_in_the_same_cache(
    client: RegistryClient, model: str, tmp_path: Path, below: str, as_zip: bool
) -> None:
    snapshot = snapshot_of_cache(tmp_path / "hub")
    files = registered(client, model, snapshot / below, tmp_path / "serving", as_zip=as_zip)
    assert files[os.path.relpath("onnx/model.onnx", below or ".")] == b"blob bb22"


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_link_beside_its_target_is_a_file_of_its_own(
    client: RegistryClient, model: str, run_folder: Path, tmp_path: Path, as_zip: bool
) -> None:
    (run_folder / "last.ckpt").symlink_to("epoch=3.ckpt")
    (run_folder / "weights" / "best.bin").symlink_to(run_folder / "last.ckpt")
    assert registered(client, model, run_folder, tmp_path / "serving", as_zip=as_zip) == {
        "epoch=3.ckpt": b"third epoch",
        "last.ckpt": b"third epoch",
        "weights/a.bin": b"weights",
        "weights/best.bin": b"third epoch",
    }


def test_a_folder_that_is_given_by_a_link_is_followed(
    client: RegistryClient, model: str, run_folder: Path, tmp_path: Path
) -> None:
    (run_folder / "last.ckpt").symlink_to("epoch=3.ckpt")
    (tmp_path / "latest").symlink_to("run")
    assert len(registered(client, model, tmp_path / "latest", tmp_path / "serving")) == 3


def test_the_advice_for_links_that_cannot_be_followed_names_no_option_to_follow_them(
    client: RegistryClient, model: str, run_folder: Path
) -> None:
    (run_folder / "gone").symlink_to("nowhere")
    with pytest.raises(LocalFileError) as refused:
        client.register(model, run_folder)
    assert str(refused.value) == (
        f"'{run_folder}' has a link that is not followed: 'gone' to 'nowhere' (dangling). Put the files themselves"
        " there, or --exclude the links."
    )


def link_everything(folder: Path) -> None:
    (folder / "config").symlink_to("../secret")
    (folder / "dataset").symlink_to("weights")
    (folder / "gone").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "weights" / "up").symlink_to("..")


@pytest.mark.parametrize("as_zip", [False, True])
def test_all_other_links_are_refused_in_one_sentence(
    client: RegistryClient, observed: Observed, model: str, run_folder: Path, as_zip: bool
) -> None:
    link_everything(run_folder)
    with pytest.raises(LocalFileError) as refused:
        client.register(model, run_folder, as_zip=as_zip)
    assert str(refused.value) == (
        f"'{run_folder}' has links that are not followed: 'config' to '../secret' (outside), 'dataset' to 'weights'"
        " (folder), 'gone' to 'nowhere' (dangling), 'loop' to 'loop' (circle), 'weights/up' to '..' (circle). Put the"
        " files themselves there, --exclude the links, or follow those that lead to files and folders with"
        " --follow-links."
    )
    code, sentence = Cli(observed.url).refusal("register", model, run_folder, *["--zip"][: int(as_zip)])
    assert (code, sentence) == ("local_file", str(refused.value))
    with pytest.raises(ModelNotFoundError):
        client.get_model(model)


@pytest.mark.parametrize("as_zip", [False, True])
def test_links_that_lead_somewhere_are_followed_on_demand(
    observed: Observed, client: RegistryClient, model: str, run_folder: Path, tmp_path: Path, as_zip: bool
) -> None:
    link_everything(run_folder)
    with pytest.raises(LocalFileError, match=r"followed: 'gone' .* 'dataset/up'|followed: 'dataset/up' .* 'gone'"):
        client.register(model, run_folder, follow_links=True, as_zip=as_zip)
    for link in ("gone", "loop", "weights/up"):
        (run_folder / link).unlink()
    zip_option = ["--zip"][: int(as_zip)]
    assert Cli(observed.url).does("register", model, run_folder, "--follow-links", *zip_option) == ["1"]
    files = registered(client, model, run_folder, tmp_path / "serving", follow_links=True, as_zip=as_zip)
    assert files == {
        "config": b"a secret",
        "dataset/a.bin": b"weights",
        "epoch=3.ckpt": b"third epoch",
        "weights/a.bin": b"weights",
    }


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("models--acme--bert", "../../../models--acme--other/blobs/dd44"),
        ("models--acme--bert", "../../refs/main"),
        ("checkpoints", "../../blobs/aa11"),
    ],
)
def test_only_the_blobs_of_the_same_cache_are_followed(
    client: RegistryClient, model: str, tmp_path: Path, name: str, target: str
) -> None:
    snapshot = snapshot_of_cache(tmp_path / "hub", name)
    shutil.rmtree(snapshot)
    snapshot.mkdir()
    (snapshot / "README.md").write_bytes(b"")
    aimed = Path(os.path.normpath(snapshot / target))
    aimed.parent.mkdir(parents=True, exist_ok=True)
    aimed.write_bytes(b"elsewhere")
    (snapshot / "x").symlink_to(target)
    with pytest.raises(LocalFileError, match=rf"'x' to '{target}' \(outside\)"):
        client.register(model, snapshot)


def swap_link(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    (folder / "last.ckpt").symlink_to("../secret")


def swap_target(folder: Path) -> None:
    """Put a link to another file of the same size and time in the place of the file that the link leads to."""
    target, status = folder / "epoch=3.ckpt", (folder / "epoch=3.ckpt").stat()
    other = folder.parent / "other"
    other.write_bytes(b"x" * status.st_size)
    os.utime(other, ns=(0, status.st_mtime_ns))
    target.unlink()
    target.symlink_to(other)


def swap_folder(folder: Path) -> None:
    """Put a link to another folder in the place of a folder; its files have the same sizes and times."""
    status = (folder / "weights" / "a.bin").stat()
    (folder / "weights").rename(folder.parent / "elsewhere")
    os.utime(folder.parent / "elsewhere" / "a.bin", ns=(0, status.st_mtime_ns))
    (folder / "weights").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize(
    ("step", "swap", "is_noticed"),
    [
        (Step.HASHING, swap_link, False),
        (Step.HASHING, swap_target, True),
        (Step.HASHING, swap_folder, True),
        (Step.UPLOADING, swap_link, False),
        (Step.UPLOADING, swap_target, True),
        (Step.UPLOADING, swap_folder, True),
    ],
)
def test_what_is_uploaded_is_what_was_checked_and_hashed(
    observed: Observed,
    model: str,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: Step,
    swap: Callable[[Path], None],
    is_noticed: bool,
    as_zip: bool,
) -> None:
    """A link that is changed after it was looked at makes no difference, and no other file gets into its place."""
    (run_folder / "last.ckpt").symlink_to("epoch=3.ckpt")

    class Swapping(Progress):
        def begin(self, begun: Step, sizes: object) -> None:
            if begun is step:
                swap(run_folder)

    if as_zip:
        real = zipfile.ZipFile.__init__

        def swapping(self: zipfile.ZipFile, *arguments: Any, **options: Any) -> None:
            if step is Step.HASHING and "w" in arguments:
                swap(run_folder)
            real(self, *arguments, **options)

        monkeypatch.setattr(zipfile.ZipFile, "__init__", swapping)
    progress = Progress() if as_zip else Swapping()
    with RegistryClient(observed.url, progress=progress) as client:
        if is_noticed and not (as_zip and step is Step.UPLOADING):
            with pytest.raises(ChangedFileError):
                client.register(model, run_folder, as_zip=as_zip)
            with pytest.raises(NotFoundError):
                client.download(model, 1, dest=tmp_path / "serving")
        else:
            files = registered(client, model, run_folder, tmp_path / "serving", as_zip=as_zip)
            assert files["last.ckpt"] == b"third epoch"
            assert set(files.values()) == {b"third epoch", b"weights"}
