"""The client, killed while it works: the same call goes on with what has arrived, and leaves nothing behind."""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from modelkeep.client import RegistryClient
from modelkeep.client.presigned_transport import BLOCK
from tests.support.observed import Observed
from tests.support.processes.children import Call, warm_up

KILLS, QUICK_KILLS = 20, 3
"""How many there are if there is time, and if not; in either case they are spread over the whole call."""

MIB = 1024 * 1024
SIZES = {f"shard-{number:02}.bin": MIB for number in range(12)} | {"weights.bin": 70 * MIB}
TOTAL = sum(SIZES.values())

Write = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


@pytest.fixture
def source(write: Write) -> Path:
    return write(**SIZES)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".modelkeep."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def left_in(state_folder: Path) -> list[Path]:
    return [path for path in state_folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def versions_of(observed: Observed, model: str) -> list[int]:
    answer = httpx.get(f"{observed.url}/v1/models/{model}/versions", trust_env=False)
    return [version["version"] for version in answer.json().get("items", [])]


def stored(observed: Observed, model: str) -> dict[str, bytes]:
    """What storage holds of the first version."""
    return contents(observed.folder / "objects" / "models" / model / "v1")


@pytest.fixture
def kills(*, thorough: bool) -> int:
    return KILLS if thorough else QUICK_KILLS


def instants(call: Callable[[int], Call], kills: int) -> Iterator[tuple[int, float]]:
    """Random ones, spread over the time that the whole call takes."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    began = time.monotonic()
    call(kills).finish()
    took = time.monotonic() - began
    print(f"seed {seed}, {took:.2f} s uninterrupted")  # noqa: T201 -- shown if the test fails
    for number in range(kills):
        yield number, took * (number + chance.random()) / kills


@pytest.mark.timeout(300)
def test_a_registration_that_is_killed_at_any_instant_sends_nothing_twice(
    observed: Observed, model: str, source: Path, state_folder: Path, kills: int
) -> None:
    def call(number: int) -> Call:
        return Call(url=observed.url, method="register", arguments=(f"{model}-{number}", source))

    killed, spared = 0, 0
    for number, instant in instants(call, kills):
        is_killed = call(number).be_killed_after(instant)
        is_done = versions_of(observed, f"{model}-{number}") == [1] and left_in(state_folder) == []
        if is_killed and not is_done:
            killed += 1
            acknowledged, mark = observed.taken(), len(observed.moves)
            call(number).finish()
            sent = [move.piece for move in observed.since(mark, "PUT")]
            assert not acknowledged.intersection(sent)
            spared += sum(f"/{model}-{number}/" in piece for piece in acknowledged)
        assert versions_of(observed, f"{model}-{number}") == [1]
        assert left_in(state_folder) == []
        assert stored(observed, f"{model}-{number}") == contents(source)
    print(f"{killed} killed, {spared} files and parts not sent again")  # noqa: T201
    assert killed > kills / 4
    assert spared
    call(0).finish()
    assert versions_of(observed, f"{model}-0") == [2, 1]


@pytest.mark.parametrize(
    "step",
    [
        "after modelkeep.client.archives._write",
        "after modelkeep.client.pending_registration.PendingRegistration._store",
        "before modelkeep.client.presigned_transport.PresignedTransport.put",
        "after modelkeep.client.presigned_transport.PresignedTransport.put",
        "before modelkeep.client.pending_registration.PendingRegistration.clear",
    ],
    ids=["zipped", "remembered", "before_sending", "sent", "complete"],
)
def test_a_registration_that_dies_in_any_step_leaves_one_version_and_nothing_here(
    observed: Observed, model: str, write: Write, state_folder: Path, step: str
) -> None:
    source = write(**{"a.bin": 1000, "b/c.bin": 2000})
    call = partial(Call, url=observed.url, method="register", arguments=(model, source), options={"as_zip": True})
    call(dies=step).be_killed()
    call().finish()
    assert versions_of(observed, model) == [1]
    assert left_in(state_folder) == []


def arrived(partial: Path) -> int:
    """Bytes that an interrupted download has on disk: whole files, and whole blocks of others."""
    if not partial.exists():
        return 0
    files = [path for path in partial.iterdir() if path.is_file()]
    whole = sum(path.stat().st_size for path in files if not path.suffix)
    return whole + BLOCK * sum(path.read_bytes()[256:].count(1) for path in files if path.suffix == ".blocks")


@pytest.mark.timeout(300)
def test_a_download_that_is_killed_at_any_instant_fetches_nothing_twice(
    observed: Observed, model: str, source: Path, tmp_path: Path, kills: int
) -> None:
    with RegistryClient(observed.url) as registry:
        registry.register(model, source)

    def call(number: int) -> Call:
        options = {"dest": tmp_path / f"serving-{number}"}
        return Call(url=observed.url, method="download", arguments=(model, 1), options=options)

    worst, resumed = 0.0, 0
    for number, instant in instants(call, kills):
        dest = tmp_path / f"serving-{number}"
        if call(number).be_killed_after(instant):
            had = arrived(dest / f".{model}.partial")
            is_over = dest.exists() and [entry.name for entry in dest.iterdir()] == [model]
            mark = observed.mark()
            call(number).finish()
            again = observed.sent_since(mark) - (TOTAL - had)
            if had and not is_over:
                resumed += 1
                worst = max(worst, again / had)
                assert again <= 0.2 * had
        assert [entry.name for entry in dest.iterdir()] == [model]
        assert contents(dest / model) == contents(source)
    print(f"{resumed} resumed; at worst {worst:.1%} of what had arrived was fetched again")  # noqa: T201
    assert resumed


@pytest.mark.parametrize("sizes", [{"model.pt": 3000}, {"a.bin": 1000, "b/c.bin": 2000}], ids=["file", "folder"])
@pytest.mark.parametrize("if_changed", [False, True])
@pytest.mark.parametrize(
    "step",
    [
        "before modelkeep.client.download_target.DownloadTarget.publish",
        "before modelkeep.kit.durable_files.sync",
        "after modelkeep.kit.durable_files.replace_tree",
        "before modelkeep.client.download_target.DownloadTarget.clear",
    ],
    ids=["publish", "sync", "replaced", "clear"],
)
def test_a_download_that_dies_after_the_last_byte_fetches_none_again(
    observed: Observed,
    model: str,
    write: Write,
    tmp_path: Path,
    sizes: dict[str, int],
    step: str,
    if_changed: bool,
) -> None:
    dest, folder = tmp_path / "serving", write(**sizes)
    source = folder if len(sizes) > 1 else folder / "model.pt"
    with RegistryClient(observed.url) as registry:
        registry.register(model, write(**{"a.bin": 7, "old.bin": 8}, folder="old"))
        registry.register(model, source)
        if source.is_dir():
            registry.download(model, 1, dest=dest)
    options = {"dest": dest, "if_changed": if_changed}
    call = partial(Call, url=observed.url, method="download", arguments=(model, 2), options=options)
    if "replace_tree" in step and source.is_file():
        step = "before modelkeep.client.download_target.DownloadTarget.clear"
    call(dies=step).be_killed()
    mark = observed.mark()
    call().finish()
    assert observed.sent_since(mark) == 0
    left = [entry.name for entry in dest.iterdir() if not entry.name.startswith(".modelkeep.")]
    assert left == [model if source.is_dir() else "model.pt"]
    assert contents(dest) == {
        f"{model}/{path}" if source.is_dir() else path: content for path, content in contents(folder).items()
    }
