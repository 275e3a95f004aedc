"""What of a folder is registered: by the rule of gitignore, and said."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelkeep.client import Progress, RegistryClient
from modelkeep.client.errors import LocalFileError
from modelkeep.domain.errors import ArtifactNotFoundError, InvalidRequestError
from tests.support.observed import Observed
from tests.support.processes.cli import Cli

FILES = [
    *["config.json", "secrets/key", "secrets/deep/key", "a.tmp", "sub/b.tmp", "sub/c.bin", ".git/config", "sub/.git"],
    *["__pycache__/m.pyc", "sub/__pycache__/n.pyc", ".DS_Store", ".ipynb_checkpoints/x.ipynb", "sub/.DS_Store"],
    *[
        ".cache/huggingface/download/x.lock",
        "sub/.cache/huggingface/y",
        ".cache/other",
        ".modelkeep.json",
        ".gitignore",
    ],
]
KEPT = [
    ".cache/other",
    ".gitignore",
    "a.tmp",
    "config.json",
    "secrets/deep/key",
    "secrets/key",
    "sub/b.tmp",
    "sub/c.bin",
]
DEFAULTS = (
    "Left out: .DS_Store (2), .cache/huggingface (2), .git (2), .ipynb_checkpoints (1), .modelkeep* (1),"
    " __pycache__ (2)"
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(name)
    return tmp_path / "run"


class Remarks(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def remark(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def remarks() -> Remarks:
    return Remarks()


@pytest.fixture
def client(observed: Observed, remarks: Remarks) -> Iterator[RegistryClient]:
    with RegistryClient(observed.url, progress=remarks) as client:
        yield client


def registered(client: RegistryClient, model: str, folder: Path, **options: object) -> list[str]:
    return [artifact.path for artifact in client.register(model, folder, **options).artifacts]  # type: ignore[arg-type]


def test_what_belongs_to_no_model_is_left_out_and_said_in_one_line(
    observed: Observed, client: RegistryClient, remarks: Remarks, model: str, run_folder: Path
) -> None:
    assert registered(client, model, run_folder) == KEPT
    assert remarks.said == [f"{DEFAULTS}."]
    said = Cli(observed.url)("register", model, run_folder)
    assert (said.status, said.out, said.err[0]) == (0, ["2"], f"{DEFAULTS}.")
    assert Cli(observed.url)("--quiet", "register", model, run_folder).err == []


def test_an_archive_leaves_out_the_same(client: RegistryClient, model: str, run_folder: Path, tmp_path: Path) -> None:
    client.register(model, run_folder, as_zip=True)
    with zipfile.ZipFile(client.download(model, 1, dest=tmp_path / "serving").path) as bundle:
        assert bundle.namelist() == KEPT


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        *[
            ([pattern], ["secrets/deep/key", "secrets/key"])
            for pattern in ("secrets", "secrets/", "/secrets", "secrets/*")
        ],
        *[([pattern], ["secrets/deep/key", "secrets/key"]) for pattern in ("./secrets/*", "./secrets", "secrets/**")],
        *[([pattern], ["a.tmp", "sub/b.tmp"]) for pattern in ("*.tmp", "**/*.tmp")],
        (["/*.tmp"], ["a.tmp"]),
        (["sub/*.tmp", "absent"], ["sub/b.tmp"]),
        (["secrets/*", "!secrets/deep/"], ["secrets/key"]),
        (["!sub"], []),
        (["b.tmp", "/*", "!/sub/"], [name for name in KEPT if name != "sub/c.bin"]),
    ],
)
def test_an_excluded_folder_is_excluded_however_it_is_written(
    client: RegistryClient, model: str, run_folder: Path, exclude: list[str], gone: list[str]
) -> None:
    assert registered(client, model, run_folder, exclude=exclude) == [name for name in KEPT if name not in gone]


@pytest.mark.parametrize(
    ("include", "kept"),
    [
        (["sub/"], ["sub/b.tmp", "sub/c.bin"]),
        (["sub"], ["sub/b.tmp", "sub/c.bin"]),
        (["*.bin", "/*.json"], ["config.json", "sub/c.bin"]),
        (["**/*.tmp"], ["a.tmp", "sub/b.tmp"]),
        (["secrets/*", "!deep/"], ["secrets/key"]),
    ],
)
def test_included_is_what_matches_and_is_not_left_out(
    client: RegistryClient, model: str, run_folder: Path, include: list[str], kept: list[str]
) -> None:
    assert registered(client, model, run_folder, include=include) == kept


def test_a_file_of_patterns_is_obeyed_and_may_take_in_what_is_left_out_by_default(
    client: RegistryClient, remarks: Remarks, model: str, run_folder: Path
) -> None:
    (run_folder / ".modelkeepignore").write_text(
        "\ufeff# private\n/secrets\n\n*.tmp\n!sub/b.tmp\n!.DS_Store\nnothing\n"
    )
    kept = registered(client, model, run_folder, exclude=["*.bin", "!/.cache/huggingface"])
    assert kept == sorted(
        [*KEPT[:2], *[".DS_Store", ".cache/huggingface/download/x.lock", "config.json", "sub/.DS_Store", "sub/b.tmp"]]
    )
    (said,) = remarks.said
    assert said.removeprefix("Left out: ").removesuffix(".").split(", ") == [
        *[".git (2)", ".ipynb_checkpoints (1)", ".modelkeep* (2)", "__pycache__ (2)", "*.tmp (1)", "/secrets (1)"],
        *[".cache/huggingface (1)", "*.bin (1)"],
    ]


@pytest.mark.parametrize(
    ("content", "said"), [(b"a\\", "cannot be used: 'a.' is no pattern"), (b"\xff\xfe", "is not a text file in UTF-8")]
)
def test_a_file_of_patterns_that_cannot_be_read_is_named(
    client: RegistryClient, model: str, run_folder: Path, content: bytes, said: str
) -> None:
    (run_folder / ".modelkeepignore").write_bytes(content)
    with pytest.raises(LocalFileError, match=rf"\.modelkeepignore' {said}"):
        client.register(model, run_folder)


def test_a_pattern_that_matches_nothing_is_said(
    client: RegistryClient, remarks: Remarks, model: str, run_folder: Path
) -> None:
    registered(client, model, run_folder, include=["*.json", "*.onnx"], exclude=["secert", "secrets"])
    assert remarks.said[1:] == [
        "The include pattern '*.onnx' matches nothing.",
        "The exclude pattern 'secert' matches nothing.",
    ]


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["", "  ", "a\\"])
def test_what_is_no_pattern_is_a_mistake_of_the_caller(
    observed: Observed, client: RegistryClient, model: str, run_folder: Path, option: str, pattern: str
) -> None:
    with pytest.raises(InvalidRequestError):
        client.register(model, run_folder, **{option: [pattern]})  # type: ignore[arg-type]
    code, _ = Cli(observed.url).refusal("register", model, run_folder, f"--{option}", pattern, status=2)
    assert code == ("invalid_request" if pattern else "usage")


@pytest.mark.parametrize("options", [{"exclude": ["lost+found"]}, {"include": ["/sub"]}])
def test_a_folder_that_no_pattern_lets_through_is_not_opened(
    client: RegistryClient, model: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, list[str]]
) -> None:
    (run_folder / "lost+found").mkdir()
    scan = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name in {"lost+found", ".git"}:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert "sub/c.bin" in registered(client, model, run_folder, **options)
    with pytest.raises(
        LocalFileError, match=r"lost\+found/?' cannot be read: Permission denied\. Make it readable, or --exclude it\."
    ):
        client.register(model, run_folder)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*.tmp"], ["a.tmp", "sub/b.tmp"]),
        (["sub/"], ["sub/b.tmp", "sub/c.bin"]),
        (["./secrets/*", "!deep/"], ["secrets/key"]),
        (["/config.json", "**/*.bin"], ["config.json", "sub/c.bin"]),
    ],
)
def test_downloads_select_by_the_same_rule(
    client: RegistryClient, model: str, run_folder: Path, tmp_path: Path, patterns: list[str], found: list[str]
) -> None:
    client.register(model, run_folder)
    result = client.download(model, 1, dest=tmp_path / "serving", paths=patterns)
    assert [artifact.path for artifact in result.artifacts] == found
    for missing in (["*.tmp", "absent"], ["!*.tmp"]):
        with pytest.raises(ArtifactNotFoundError):
            client.download(model, 1, dest=tmp_path / "other", paths=missing)
    with pytest.raises(InvalidRequestError):
        client.download(model, 1, dest=tmp_path / "other", paths=[""])


def test_a_name_with_control_characters_reaches_no_terminal(observed: Observed, model: str, run_folder: Path) -> None:
    """Of a refusal, and of a remark on a pattern."""
    (run_folder / "a\x1b[31m\nb").touch()
    refused = Cli(observed.url)("register", model, run_folder)
    assert refused.err[-1].startswith(f"Error: '{run_folder}/a\\x1b[31m\\nb' cannot be registered: ")
    said = Cli(observed.url)("register", model, run_folder, "--exclude", "a\x1b*", "--exclude", "\x9b2J", "--dry-run")
    assert "a\\x1b* (1)." in said.err[0]
    assert said.err[1] == "The exclude pattern '\\x9b2J' matches nothing."
