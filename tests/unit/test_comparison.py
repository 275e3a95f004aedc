"""What became of a file from one version to another."""

import pytest

from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.comparison import FileState, Pair, file_state
from modelkeep.domain.values import Digest


def _file(size: int | None, digest: str | None) -> Artifact:
    return Artifact(path="p", size=size, sha256=Digest(digest * 64) if digest else None, key="k")


@pytest.mark.parametrize(
    ("a", "b", "state"),
    [
        (_file(1, "a"), _file(1, "a"), "same"),
        (_file(1, "a"), _file(1, "b"), "changed"),
        (_file(1, "a"), None, "removed"),
        (None, _file(1, "a"), "added"),
        (_file(1, None), _file(1, "a"), "unknown"),
        (_file(1, None), _file(2, "a"), "changed"),
        (_file(None, None), _file(2, None), "unknown"),
    ],
)
def test_a_file_is_the_same_by_its_digest_alone(a: Artifact | None, b: Artifact | None, state: str) -> None:
    assert file_state(Pair("p", a, b)) is FileState(state)
