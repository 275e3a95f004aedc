"""No two manifests have one commit, and what a version does not have changes nothing."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.artifact_paths import check_artifact_path
from modelkeep.domain.artifacts import Artifact, Manifest, commit_of, have_same_files, is_named_by, manifest_of
from modelkeep.domain.values import Digest

MODEL = "fraud"
DIGEST = Digest("ab" * 32)


def is_path(path: str) -> bool:
    try:
        return bool(check_artifact_path(path))
    except ValueError:
        return False


PATHS = st.text(alphabet=" /-0aeé", min_size=1, max_size=8).filter(is_path) | st.sampled_from(
    ["a executable", "executable", f"a 1 {DIGEST}", f"a 1 {DIGEST} executable"]
)
ARTIFACTS = st.builds(
    Artifact,
    path=PATHS,
    size=st.none() | st.integers(0, 2),
    sha256=st.none() | st.just(DIGEST),
    key=st.just("key"),
    executable=st.booleans(),
)
CONTENTS = st.tuples(
    st.lists(ARTIFACTS, max_size=3, unique_by=lambda artifact: artifact.path).map(manifest_of),
    st.sets(PATHS, max_size=3).map(lambda folders: tuple(sorted(folders))),
)


@given(CONTENTS, CONTENTS)
def test_other_contents_have_another_commit(
    one: tuple[tuple[Artifact, ...], tuple[str, ...]], other: tuple[tuple[Artifact, ...], tuple[str, ...]]
) -> None:
    assert (commit_of(MODEL, 1, *one) == commit_of(MODEL, 1, *other)) == (one == other)


def test_the_commit_of_files_alone_is_for_good() -> None:
    """As every release has computed it."""
    manifest = [
        Artifact(path="a b", size=7, sha256=DIGEST, key="key"),
        Artifact(path="c", size=0, sha256=None, key="k"),
    ]
    digest = hashlib.sha256(f"fraud\n3\na b 7 {DIGEST}\nc 0 -".encode()).hexdigest()
    assert commit_of(MODEL, 3, manifest) == f"{digest[:32]}00000003"


def test_a_commit_names_what_an_earlier_release_knew_of_the_files() -> None:
    """It completes an upload whose empty folders and executable files it keeps, without knowing what they are."""
    plain = [Artifact(path="a", size=7, sha256=DIGEST, key="key")]
    programs = [replace(plain[0], executable=True)]
    assert is_named_by(commit_of(MODEL, 1, plain), MODEL, 1, programs, ["folder"])
    assert is_named_by(commit_of(MODEL, 1, programs, ["folder"]), MODEL, 1, programs, ["folder"])
    assert not is_named_by(commit_of(MODEL, 1, programs, ["folder"]), MODEL, 1, programs, ["other"])
    assert not is_named_by(commit_of(MODEL, 1, programs, ["folder"]), MODEL, 1, plain, ["folder"])
    assert not is_named_by(commit_of(MODEL, 1, programs, ["folder"]), MODEL, 1, programs, [])


def test_files_are_the_same_by_path_and_digest_and_unknown_ones_never() -> None:
    def files(**digests: str | None) -> Manifest:
        return manifest_of(
            Artifact(path=path, size=None, sha256=Digest(digest * 32) if digest else None, key=path)
            for path, digest in digests.items()
        )

    one = files(a="00", b="11")
    assert have_same_files(one, files(b="11", a="00"))
    for other in (files(a="00"), files(a="11", b="00"), files(a="00", c="11"), files(a="00", b=None)):
        assert not have_same_files(one, other)
        assert not have_same_files(other, one)
    assert not have_same_files(files(a=None), files(a=None))
