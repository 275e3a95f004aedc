"""The grammar of artifact paths, and which of them can lie in one version."""

import re
import unicodedata
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.artifact_paths import (
    ARTIFACT_PATH_PATTERN,
    check_artifact_path,
    check_distinct_paths,
    check_new_artifact_path,
)
from tests.support.artifact_names import NAMES

BEFORE: Final = r"(?:[A-Za-z0-9._+=@-][A-Za-z0-9._+=@ -]{0,253})?[A-Za-z0-9_+=@-]"
"""A segment by the grammar of earlier releases."""

PATTERN: Final = re.compile(ARTIFACT_PATH_PATTERN.replace("$", r"\Z"))

REFUSED: Final = {
    "1 to 512 bytes": ["", "a" * 10_000, "/".join(["a" * 128] * 4), "ü" * 257, "😀/" * 103],
    "no control character, such as U+0000": ["\0", "a/\0/b"],
    "no control character": ["a\n", "\na", "a\tb", "a\x1fb", "a\x7f", "a\x85", "\x1b[31m"],
    "no format character": ["a\u200b", "\ufeffa", "a\u202eb", "a\u00adb", "👩\u200d🔬", "\U000e0041"],
    "no private-use character": ["a\ue000", "\U00100000"],
    "is text in UTF-8": ["\udcff.bin", "\ud800"],
    "no line separator character": ["a\u2028b"],
    "no paragraph separator character": ["a\u2029b"],
    "no backslash": ["..\\a", "C:\\a", "\\"],
    "NFC": ["e\u0301", "a/o\u0308.bin", "\u212a", "\u2126", "\uf900", "\u1100\u1161", "a\u0323\u0302"],
    "at most 32 segments": ["/".join("a" * 33)],
    "1 to 255 bytes": ["/", "/a", "a/", "a//b", "a" * 256, "é" * 128, "😀" * 64],
    "no '.' and no '..'": [".", "..", "../a", "a/..", "a/../b", "./a", "a/."],
    "starts or ends with a space": [" ", " a", "a ", "a/b ", "a/ b", "\u00a0a", "a\u3000", "a\u202f/b"],
}


@pytest.mark.parametrize(
    "path",
    [
        *NAMES,
        *["model.pt", "a", "config/tokenizer.json", "a b/c d.txt", ".hidden", "..a", "a..b", "+=@_-.x", "con-fig"],
        *["a" * 255, "/".join("a" * 32), "/".join(["a" * 127] * 4), "ü" * 127 + "/" + "ü" * 127],
    ],
)
def test_an_artifact_path(path: str) -> None:
    assert check_artifact_path(path) == check_new_artifact_path(path) == path
    assert PATTERN.match(path)


@pytest.mark.parametrize(("said", "path"), [(said, path) for said, paths in REFUSED.items() for path in paths])
def test_no_artifact_path(said: str, path: str) -> None:
    for check in (check_artifact_path, check_new_artifact_path):
        with pytest.raises(ValueError, match=re.escape(said)) as refused:
            check(path)
        assert "artifact path" in str(refused.value)


@pytest.mark.parametrize("path", [*NAMES, *(path for paths in REFUSED.values() for path in paths)])
def test_the_pattern_that_is_published_admits_every_path_and_refuses_what_it_can(path: str) -> None:
    refusal = ""
    try:
        check_artifact_path(path)
    except ValueError as error:
        refusal = str(error)
    unspeakable = ("bytes", "format", "private-use", "text", "separator", "NFC", "space")
    is_speakable = not any(word in refusal for word in unspeakable)
    assert bool(PATTERN.match(path)) is not bool(refusal) or not is_speakable


@pytest.mark.parametrize("path", [" ", " a", "a ", "a/b ", "a/ b", "a /b"])
def test_the_pattern_that_is_published_refuses_spaces_at_the_ends(path: str) -> None:
    assert not PATTERN.match(path)


def test_what_this_unicode_does_not_know_is_not_registered_but_read() -> None:
    unassigned = "a\U0001fadd\U000e01f0.bin"
    assert check_artifact_path(unassigned) == unassigned
    with pytest.raises(ValueError, match="no unassigned character, such as U\\+1FADD: Unicode") as refused:
        check_new_artifact_path(unassigned)
    assert unicodedata.unidata_version in str(refused.value)


@given(st.from_regex(rf"{BEFORE}(?:/{BEFORE}){{0,3}}", fullmatch=True).filter(lambda path: len(path) <= 512))
def test_what_an_earlier_release_registered_stays_an_artifact_path(path: str) -> None:
    assert check_new_artifact_path(path) == path
    assert PATTERN.match(path)


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"], exclude_characters="/\\"), max_size=80))
def test_what_can_be_printed_is_an_artifact_path_once_it_is_composed_and_trimmed(text: str) -> None:
    path = unicodedata.normalize("NFC", text).strip()
    if path not in {"", ".", ".."} and len(path.encode()) <= 255:
        assert check_new_artifact_path(path) == path


@pytest.mark.parametrize("paths", [["a", "b"], ["a/b", "a/c"], ["a.b", "a/b"], ["ab", "a/b"], ["a", "ab", "b/a"], []])
def test_paths_that_lie_in_one_folder(paths: list[str]) -> None:
    check_distinct_paths(paths)


def test_all_names_lie_in_one_folder() -> None:
    check_distinct_paths(NAMES)


@pytest.mark.parametrize(
    "paths",
    [
        *[["a", "a"], ["a", "A"], ["A/b", "a/B"], ["a", "a/b"], ["a/b/c", "A/B"], ["a", "a.b", "a b", "a/b"]],
        *[["größe", "GRÖSSE"], ["\u00e9", "e\u0301"], ["\u00c9", "e\u0301"], ["ΔΣ", "δς"], ["ﬁ", "FI"]],
        ["a\u0345\u0301", "a\u0301\u0399"],
    ],
)
def test_paths_that_cannot_lie_in_one_folder_are_named_as_they_are_written(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="cannot both be in a version") as refused:
        check_distinct_paths(paths)
    assert sum(f"'{path}'" in str(refused.value) for path in paths) >= 2
