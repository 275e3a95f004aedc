"""Which paths patterns select: git itself is asked."""

import subprocess
from pathlib import Path

import pytest

from modelkeep.client.path_patterns import PathPatterns

PATHS = [
    *["config.json", "a.tmp", "secrets/key", "secrets/deep/key", "sub/a.bin", "sub/a.tmp", "sub/sub/b.bin"],
    *["deep/er/secrets/key", "weights/a.bin", "weights/shards/b.bin", "#hash", "run [3], final/x", "größe.txt", "a b"],
    *["!bang", "secrets.txt", "x/weights/a.bin", "build/out.bin", "deep/er/build/keep.bin"],
    *["sub/secrets/key", "sub/__pycache__/m.pyc"],
]


@pytest.mark.parametrize(
    "patterns",
    [
        *[["secrets"], ["secrets/"], ["/secrets"], ["secrets/*"], ["/secrets/*"], ["secrets/**"], ["**/secrets"]],
        *[["*.tmp"], ["**/*.tmp"], ["/*.tmp"], ["sub/"], ["sub/*.bin"], ["sub/**/*.bin"], ["weights/*"], ["?.tmp"]],
        *[["[ab].*"], ["größe.*"], ["run \\[3\\], final"], ["*", "!*.bin"], ["*.bin", "!a.bin", "/sub/a.bin"]],
        *[["a\\ b"], ["\\!bang"], ["\\#hash"], ["deep/*/build"], ["build/", "!build/out.bin"], ["*/a.bin"]],
        *[["/sub/*", "!/sub/sub/"], ["secrets*"], ["**"], ["/**"], ["deep/**"], ["er/"]],
        *[["secrets", "!sub"], ["secrets", "__pycache__", "/*", "!/sub/"], ["/sub", "!sub/**"], ["*", "!sub/**"]],
        *[["/sub", "!sub/**/"], ["deep/**/"], ["**/", "!sub/"], ["*/", "!deep/er/"], ["*.bin", "!sub/", "!/*"]],
    ],
    ids=" ".join,
)
def test_a_walk_selects_what_git_ignores(tmp_path: Path, patterns: list[str]) -> None:
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / ".gitignore").write_text("\n".join(patterns) + "\n")
    asked = [
        "git",
        "-c",
        "core.quotePath=false",
        "ls-files",
        "--others",
        "--ignored",
        "--exclude-per-directory=.gitignore",
    ]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    told = subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    assert selected(PathPatterns(patterns)) == sorted(path.strip('"') for path in told if path != ".gitignore")


def selected(patterns: PathPatterns) -> list[str]:
    """The paths that are selected, or are in a folder that is."""
    return sorted(path for path in PATHS if any(patterns.deciding_alone(part) for part in (*folders_above(path), path)))


def folders_above(path: str) -> list[str]:
    segments = path.split("/")
    return ["/".join(segments[:depth]) + "/" for depth in range(1, len(segments))]


@pytest.mark.parametrize("pattern", ["./secrets/*", "./secrets/", "./secrets"])
def test_a_pattern_as_a_shell_completes_it_begins_at_the_top(pattern: str) -> None:
    assert selected(PathPatterns([pattern])) == ["secrets/deep/key", "secrets/key"]


def test_a_name_with_a_hash_is_no_comment() -> None:
    assert selected(PathPatterns(["#hash"])) == ["#hash"]


def test_names_are_compared_composed() -> None:
    assert selected(PathPatterns(["gro\u0308ße.txt"])) == ["größe.txt"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "an empty pattern matches nothing"),
        (" ", "an empty pattern matches nothing"),
        ("!", "an empty pattern matches nothing"),
        ("a\\", "'a\\' is no pattern of gitignore"),
    ],
)
def test_no_pattern(pattern: str, said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 -- the whole sentence is compared
        PathPatterns([pattern])
    assert str(raised.value) == said


def test_patterns_that_have_matched_nothing_are_known() -> None:
    patterns = PathPatterns(["*.tmp", "!keep.tmp", "*.bin", "!a.bin", "sub"])
    for path in PATHS:
        patterns.deciding(path)
    assert patterns.unmatched == ["!keep.tmp"]


@pytest.mark.parametrize(
    ("patterns", "opened", "closed"),
    [
        (["*.bin"], ["a/", "a/b/"], []),
        (["weights/*.bin"], ["weights/"], ["other/", "weights/sub/", "a/weights/"]),
        (["/weights"], ["weights/", "weights/sub/"], ["other/"]),
        (["weights/"], ["weights/", "other/", "other/weights/"], []),
        (["a/*/c/x"], ["a/", "a/q/", "a/q/c/"], ["b/", "a/q/d/", "a/q/c/x2/"]),
        (["a/**/x"], ["a/", "a/b/", "a/b/c/"], ["b/"]),
        (["**/x"], ["a/", "a/b/"], []),
        (["./a/b"], ["a/", "a/b/", "a/b/c/"], ["b/", "a/c/"]),
    ],
)
def test_folders_in_which_nothing_can_be_selected_are_known(
    patterns: list[str], opened: list[str], closed: list[str]
) -> None:
    found = PathPatterns(patterns)
    assert [folder for folder in [*opened, *closed] if found.may_select_below(folder)] == opened
